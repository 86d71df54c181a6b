"""Credentials: found in the order that is promised, read as they are now, and named when they are wrong."""

import base64
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nplconf.cluster import credentials
from nplconf.cluster.credentials import Access, find
from nplconf.errors import BadConfigError, PermissionDeniedError, UnavailableError

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that is no node, and no Pod."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(credentials, "KUBELET", str(tmp_path / "kubelet.conf"))
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", str(tmp_path / "account"))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(user: dict[str, Any] | None = None, name: str = "kubeconfig", **cluster: Any) -> Path:
        config = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://10.0.0.1:6443", **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
        path = tmp_path / name
        path.write_text(yaml.safe_dump(config))
        return path

    return make


def silent(_message: str) -> None:
    """Nothing is to be said."""
    raise AssertionError(_message)


def read(path: Path) -> Access:
    return find(str(path), silent)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_token_is_read_from_the_file_itself(write: Write) -> None:
    access = read(write({"token": "secret"}))

    assert (access.server, access.token) == ("https://10.0.0.1:6443", "secret")
    assert access.headers() == {"Authorization": "Bearer secret"}


def test_files_are_relative_to_the_kubeconfig_and_read_as_they_are_now(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    path = write({"tokenFile": "token"})
    assert read(path).token == "one"

    (tmp_path / "token").write_text("two\n")
    assert read(path).token == "two"


def test_certificates_come_as_data_or_as_files(write: Write, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("CA")
    user = {"client-certificate-data": encoded("CERT"), "client-key-data": encoded("KEY")}

    access = read(write(user, **{"certificate-authority": "ca.crt"}))

    assert (access.ca, access.certificate, access.key) == ("CA", "CERT", "KEY")


def test_the_name_the_proxy_and_the_trust_of_a_cluster_are_kept(write: Write) -> None:
    cluster = {"tls-server-name": "k8s", "proxy-url": "http://proxy:3128", "insecure-skip-tls-verify": True}

    access = read(write({}, **cluster))

    assert (access.server_name, access.proxy, access.verify) == ("k8s", "http://proxy:3128", False)


def test_the_environments_proxy_is_used_unless_it_excludes_the_server(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert read(write({})).proxy == "http://proxy:3128"

    monkeypatch.setenv("NO_PROXY", "10.0.0.1")
    assert read(write({})).proxy == ""


def test_a_flag_counts_more_than_the_environment_and_that_more_than_where_we_run(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write({"token": "kubelet"}, "kubelet.conf")
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("pod")
    (account / "ca.crt").write_text("CA")
    assert find(None, lambda _: None).token == "kubelet"

    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert find(None, silent).token == "pod"

    monkeypatch.setenv("KUBECONFIG", str(write({"token": "environment"}, "two")))
    assert find(None, silent).token == "environment"
    assert find(str(write({"token": "flag"})), silent).token == "flag"


def test_a_pod_uses_its_service_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("pod\n")
    (account / "ca.crt").write_text("CA")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")

    access = find(None, silent)

    assert (access.server, access.token, access.ca) == ("https://[fd00::1]:6443", "pod", "CA")


def test_using_the_kubelets_credentials_is_said(write: Write) -> None:
    path = write({"token": "kubelet"}, "kubelet.conf")
    said: list[str] = []

    find(None, said.append)

    (message,) = said
    assert "the kubelet's credentials" in message
    assert str(path) in message


def test_without_any_credentials_the_way_out_is_named() -> None:
    with pytest.raises(BadConfigError, match="--kubeconfig"):
        find(None, silent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "[]",
        "just text",
        "{}",
        "current-context: a",
        "{current-context: a, contexts: [{name: b, context: {}}]}",
        "{current-context: a, contexts: [{name: a, context: {cluster: c}}], clusters: null}",
        "{current-context: a, contexts: [{name: a, context: {cluster: c}}], clusters: [{name: c, cluster: {}}]}",
        "{current-context: a, contexts: [{name: a, context: {cluster: c}}], clusters: [{name: c, cluster: 1}]}",
        "{current-context: a, contexts: {a: 1}}",
    ],
)
def test_a_broken_kubeconfig_is_bad_configuration_that_names_the_option(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken"
    path.write_text(text)

    with pytest.raises(BadConfigError, match="--kubeconfig"):
        read(path)


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"tokenFile": "missing"}, {}),
        ({"client-certificate-data": "%%%"}, {}),
        ({"as": "root", "token": "t"}, {}),
        ({}, {"certificate-authority": "missing"}),
        ({}, {"server": "ftp://x"}),
        ({}, {"server": "https://x:99999"}),
        ({}, {"proxy-url": "socks5://proxy:1080"}),
    ],
)
def test_what_a_kubeconfig_names_and_is_not_there_is_bad_configuration(
    write: Write, user: dict[str, Any], cluster: dict[str, Any]
) -> None:
    with pytest.raises(BadConfigError, match="--kubeconfig"):
        read(write(user, **cluster))


def test_a_broken_certificate_is_bad_configuration(write: Write) -> None:
    access = read(write({"client-certificate-data": encoded("CERT"), "client-key-data": encoded("KEY")}))

    with pytest.raises(BadConfigError, match="--kubeconfig"):
        access.tls()


def test_a_missing_kubeconfig_is_bad_configuration(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match="--kubeconfig"):
        read(tmp_path / "missing")


# --- plugins ---------------------------------------------------------------------------------------------------------


def plugin(tmp_path: Path, code: str) -> dict[str, Any]:
    """A user whose credentials a program prints."""
    script = tmp_path / "plugin.py"
    script.write_text(code)
    version = "client.authentication.k8s.io/v1"
    command = {"apiVersion": version, "command": sys.executable, "args": [str(script)], "interactiveMode": "Never"}
    return {"exec": command}


def printing(**status: str) -> str:
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return f"print({json.dumps(json.dumps(credential))})"


def test_an_exec_plugin_gives_a_token(write: Write, tmp_path: Path) -> None:
    access = read(write(plugin(tmp_path, printing(token="from-plugin"))))

    assert (access.server, access.token) == ("https://10.0.0.1:6443", "from-plugin")


def test_an_exec_plugin_gives_a_certificate(write: Write, tmp_path: Path) -> None:
    code = printing(clientCertificateData="CERT", clientKeyData="KEY")

    access = read(write(plugin(tmp_path, code)))

    assert (access.certificate, access.key) == ("CERT", "KEY")


@pytest.mark.parametrize("code", ["import sys; sys.exit('not logged in')", "print('nonsense')", printing()])
def test_a_plugin_that_gives_nothing_is_unavailable(write: Write, tmp_path: Path, code: str) -> None:
    with pytest.raises(UnavailableError, match="no credentials from its plugin"):
        read(write(plugin(tmp_path, code)))


def test_what_a_plugin_says_is_handed_on(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="not logged in"):
        read(write(plugin(tmp_path, "import sys; sys.exit('not logged in')")))


def test_a_plugin_that_hangs_is_ended_with_its_children(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "PLUGIN_SECONDS", 3)
    mark = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(99)"

    with pytest.raises(UnavailableError, match="no credentials in 3 s"):
        read(write(plugin(tmp_path, code)))

    until = time.monotonic() + 5  # it was told to end; on a busy machine it may not have noticed yet
    while (alive := _lives(mark.read_text())) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive


def _lives(pid: str) -> bool:
    """Whether a process runs. One that has ended may have nobody who buries it."""
    try:
        return "State:\tZ" not in Path("/proc", pid, "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_several_files_joined_by_colons_are_one_kubeconfig(write: Write) -> None:
    first = write({"token": "first"})
    second = write({"token": "second"}, "second")

    assert find(f"{first}:{second}", silent).token == "first"


def test_several_files_that_are_broken_are_bad_configuration(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[]")

    with pytest.raises(BadConfigError, match="--kubeconfig"):
        find(f"{tmp_path}/a:{tmp_path}/b", silent)


def test_a_token_that_may_not_be_read_is_no_permission(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write({"tokenFile": "token"})
    monkeypatch.setattr(Path, "read_text", _refused(Path.read_text))

    with pytest.raises(PermissionDeniedError, match="token"):
        read(path)


def _refused(real: Callable[..., str]) -> Callable[..., str]:
    """Root may read all files, so a test as root has to pretend."""

    def read_text(path: Path, **how: Any) -> str:
        if path.name == "token":
            raise PermissionError
        return real(path, **how)

    return read_text
