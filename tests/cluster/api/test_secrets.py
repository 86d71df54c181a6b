"""No value of a kubeconfig reaches an output, whatever is wrong with the file."""

import base64
import contextlib
import copy
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import preloaded
import pytest
import worlds
import yaml

from nplconf.cluster.api import credential_plugin, kubeconfig, plugins
from nplconf.errors import NplconfError

CANARY = "canary"
VERSION = "client.authentication.k8s.io/v1"


def secret(name: str) -> str:
    return f"{CANARY}-{name}-0123456789"


EXEC = {
    "apiVersion": VERSION,
    "command": "/bin/false",
    "args": ["--password", secret("argument")],
    "env": [{"name": "CLIENT_SECRET", "value": secret("variable")}],
    "interactiveMode": "Never",
}
OIDC = {
    "client-id": secret("id"),
    "client-secret": secret("client"),
    "id-token": secret("id-token"),
    "refresh-token": secret("refresh"),
    "idp-issuer-url": "https://127.0.0.1:1",
}
GCP = {"access-token": secret("access"), "expiry": "2001-01-01T00:00:00Z", "cmd-path": "/bin/false"}
USERS: dict[str, dict[str, Any]] = {
    "token": {"token": secret("token")},
    "token-file": {"tokenFile": secret("file")},
    "password": {"username": secret("user"), "password": secret("password")},
    "certificate": {"client-certificate": secret("certificate"), "client-key": secret("key")},
    "data": {
        "client-certificate-data": base64.b64encode(secret("certificate").encode()).decode(),
        "client-key-data": base64.b64encode(secret("key").encode()).decode(),
    },
    "impersonation": {"as": secret("as"), "as-groups": [secret("group")], "token": secret("token")},
    "exec": {"exec": EXEC, "token": secret("token"), "password": secret("password")},
    "oidc": {"auth-provider": {"name": "oidc", "config": OIDC}},
    "gcp": {"auth-provider": {"name": "gcp", "config": GCP}},
    "azure": {"auth-provider": {"name": "azure", "config": {"access-token": secret("access")}}},
}
CLUSTER = {
    "server": "https://127.0.0.1:1",
    "proxy-url": f"http://me:{secret('proxy')}@127.0.0.1:1",
    "certificate-authority-data": base64.b64encode(secret("ca").encode()).decode(),
}
"""Nobody listens there."""


def spoilt(found: Any) -> Iterator[Any]:
    """A value with one of its parts missing, or of another type, or a secret in its place."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield {name: other for name, other in found.items() if name != key}
            for other in (secret("text"), [secret("item")], {secret("name"): secret("value")}, 7, *spoilt(value)):
                yield {**found, key: other}
    elif isinstance(found, list):
        for index, value in enumerate(found):
            for other in spoilt(value):
                yield [*found[:index], other, *found[index + 1 :]]


def cases() -> list[tuple[str, dict[str, Any]]]:
    """Every variant as it is, and with every fault in its user and in its cluster."""
    found = []
    for name, user in USERS.items():
        found += [(name, {"user": one, "cluster": CLUSTER}) for one in (user, *spoilt(user))]
    found += [("cluster", {"user": USERS["token"], "cluster": one}) for one in spoilt(CLUSTER)]
    return found


def written(path: Path, user: Any, cluster: Any) -> Path:
    worlds.kubeconfig(path, {})
    config = yaml.safe_load(path.read_text())
    config["users"][0]["user"] = copy.deepcopy(user)
    config["clusters"][0]["cluster"] = copy.deepcopy(cluster)
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin program runs in this process: to start hundreds takes minutes."""

    def output(command: list[str], _source: str) -> tuple[int, str]:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = plugins.main(command[-1])
        return code, out.getvalue()

    monkeypatch.setattr(credential_plugin, "_output", output)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("variant", [*USERS, "cluster"])
def test_no_fault_of_a_kubeconfig_shows_a_value_of_it(tmp_path: Path, variant: str) -> None:
    message = []
    for name, parts in cases():
        if name == variant:
            try:
                access = kubeconfig.read(str(written(tmp_path / "config", **parts)))
                message.append(repr(access))
                access.tls()
            except NplconfError as err:
                message.append(str(err))

    assert message
    assert [text for text in message if CANARY in text.replace(f"server_name={secret('text')!r}", "")] == []


@pytest.mark.parametrize(
    "text",
    [
        f"a: !!int {secret('number')}",
        f"a: !!bool {secret('bool')}",
        f"a: !{secret('tag')} b",
        f"a: *{secret('alias')}",
        f'a: "\\q{secret("escape")}"',
        f"token: {secret('token')}\n  b: [",
        f"current-context: {secret('context')}",
        f"{{current-context: a, contexts: {secret('contexts')}}}",
        f"{{current-context: a, contexts: [{secret('contexts')}]}}",
        f"{{current-context: a, contexts: [{{name: a, context: {{cluster: {secret('cluster')}}}}}]}}",
        secret("file"),
    ],
)
def test_no_fault_of_the_yaml_shows_a_part_of_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(NplconfError) as caught:
        kubeconfig.read(str(path))

    assert CANARY not in str(caught.value)


def test_a_plugin_that_prints_its_environment_and_arguments_shows_no_secret(tmp_path: Path) -> None:
    script = tmp_path / "plugin"
    script.write_text('#!/bin/sh\necho "cannot log in at host-7 $CLIENT_SECRET $*" >&2\nexit 1\n')
    script.chmod(0o755)
    path = written(tmp_path / "config", {"exec": {**EXEC, "command": str(script)}}, {"server": "https://127.0.0.1:1"})

    with pytest.raises(NplconfError, match="cannot log in at host-7") as caught:
        kubeconfig.read(str(path))

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("form", ["--token={}", "login --token '{}'", "TOKEN={}; true", '{{"token":"{}"}}'])
def test_a_plugin_that_prints_a_part_of_an_argument_shows_no_secret(tmp_path: Path, form: str) -> None:
    script = tmp_path / "plugin"
    script.write_text(f"#!/bin/sh\necho cannot log in at host-7 with {secret('part')} >&2\nexit 1\n")
    script.chmod(0o755)
    user = {"exec": {**EXEC, "command": str(script), "args": [form.format(secret("part"))]}}
    path = written(tmp_path / "config", user, {"server": "https://127.0.0.1:1"})

    with pytest.raises(NplconfError, match="cannot log in at host-7") as caught:
        kubeconfig.read(str(path))

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("variant", USERS)
@pytest.mark.parametrize("output", ["table", "json"])
def test_no_output_of_a_command_shows_a_secret(tmp_path: Path, variant: str, output: str) -> None:
    user = USERS[variant]
    if "exec" in user:
        user = {"exec": {key: value for key, value in EXEC.items() if key != "apiVersion"}}
    path = written(tmp_path / "config", user, CLUSTER)
    words = ["render", "--kubeconfig", str(path), "--node", "n", "-v", "-o", output]

    done = preloaded.run(words, timeout=60, env={**os.environ, "NO_COLOR": "1"})

    assert done.returncode in (69, 77, 78)
    assert CANARY not in done.stdout + done.stderr
    assert "--kubeconfig" in done.stderr or json.loads(done.stdout or "{}") == {}
