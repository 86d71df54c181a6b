"""Kubeconfig files are read at each use, and errors name the file."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import worlds

from nplconf.cluster.api import credential_plugin, kubeconfig
from nplconf.cluster.api.access import Access
from nplconf.errors import BadConfigError, PermissionDeniedError, UnavailableError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return lambda user=None, name="kubeconfig", **cluster: worlds.kubeconfig(tmp_path / name, user, **cluster)


def read(path: Path) -> Access:
    return kubeconfig.read(str(path))


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
    for near in ("https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"):
        assert read(write({}, server=near)).proxy == ""

    for excluded in ("10.0.0.1", "example.com, 10.0.0.0/24", "nonsense/x,10.0.0.9/8"):
        monkeypatch.setenv("NO_PROXY", excluded)
        assert read(write({})).proxy == ""
    assert read(write({}, server="https://far.example:6443")).proxy == "http://proxy:3128"


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
        ({}, {"server": 5}),
        ({}, {"server": "https://a b:6443"}),
        ({}, {"server": "https://[::1"}),
        ({}, {"server": f"https://{'x' * 64}:6443"}),
        ({}, {"tls-server-name": "x" * 64}),
        ({}, {"proxy-url": "socks5://proxy:1080"}),
        ({}, {"proxy-url": "http://proxy:x"}),
        ({}, {"insecure-skip-tls-verify": "false"}),
        ({"username": "a", "password": "b"}, {}),
        ({"exec": "program"}, {}),
        ({"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}, {}),
    ],
)
def test_what_a_kubeconfig_names_and_is_not_there_is_bad_configuration(
    write: Write, user: dict[str, Any], cluster: dict[str, Any]
) -> None:
    with pytest.raises(BadConfigError, match="--kubeconfig"):
        read(write(user, **cluster))


def test_a_token_file_that_is_empty_is_bad_configuration(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")

    with pytest.raises(BadConfigError, match="no token in it; see --kubeconfig"):
        read(write({"tokenFile": "token"}))


@pytest.mark.parametrize("token", ["secret\nword", "secret\u20ac", "secret\x00"])
def test_a_token_that_cannot_be_sent_is_bad_configuration_and_not_shown(write: Write, token: str) -> None:
    with pytest.raises(BadConfigError, match="its token has characters") as caught:
        read(write({"token": token}))

    assert "secret" not in str(caught.value)


def test_a_token_file_counts_more_than_a_token(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("renewed\n")

    assert read(write({"token": "old", "tokenFile": "token"})).token == "renewed"


def test_a_key_that_needs_a_password_is_bad_configuration_without_a_prompt(write: Write, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    options = ["-newkey", "rsa:2048", "-subj", "/CN=a", "-passout", "pass:secret"]
    made = ["openssl", "req", "-x509", *options, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    access = read(write({"client-certificate": str(certificate), "client-key": str(key)}))

    with pytest.raises(BadConfigError, match="--kubeconfig"):
        access.tls()


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


def test_a_plugins_stderr_is_passed_on(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="not logged in"):
        read(write(plugin(tmp_path, "import sys; sys.exit('not logged in')")))


def test_a_plugin_that_hangs_is_ended_with_its_children(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_plugin, "PLUGIN_SECONDS", 8)
    mark = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(99)"

    with pytest.raises(UnavailableError, match="no credentials in 8 s"):
        read(write(plugin(tmp_path, code)))

    status, until = Path("/proc", mark.read_text(), "status"), time.monotonic() + 20
    while status.exists() and "State:\tZ" not in status.read_text():  # nobody may be there to bury it
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_plugins_long_output_is_cut(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        read(write(plugin(tmp_path, "import sys; sys.exit('x' * 100_000)")))

    assert len(str(caught.value)) < 1000


def test_a_plugin_does_not_decide_about_the_proxy(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")

    assert read(write(plugin(tmp_path, printing(token="from-plugin")))).proxy == ""


# --- values that mean absent, and other oddities ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "user",
    [
        {"username": "", "token": "t"},
        {"username": None, "password": None, "token": "t"},
        {"as": None, "as-groups": [], "as-user-extra": {}, "token": "t"},
        {"exec": None, "auth-provider": None, "token": "t"},
        {"exec": {}, "token": "t"},
        {"tokenFile": None, "client-certificate": "", "client-key-data": None, "token": "t"},
    ],
)
def test_an_empty_value_of_a_user_means_absent(write: Write, user: dict[str, Any]) -> None:
    assert read(write(user)).token == "t"


@pytest.mark.parametrize("user", [None, {}])
def test_an_empty_user_has_no_credentials(write: Write, user: dict[str, Any] | None) -> None:
    assert read(write(user)).headers() == {}


@pytest.mark.parametrize("key", ["certificate-authority", "tls-server-name", "proxy-url", "insecure-skip-tls-verify"])
def test_null_in_a_cluster_means_absent(write: Write, key: str) -> None:
    assert read(write({}, **{key: None})) == read(write({}))


@pytest.mark.parametrize("named", ["proxy:3128", "http://proxy:3128", "HTTP://proxy:3128"])
def test_the_environments_proxy_needs_no_scheme(write: Write, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)

    assert read(write({})).proxy.lower() == "http://proxy:3128"


@pytest.mark.parametrize("name", ["a\nb: c", "x" * 5000, "\x00"])
def test_content_in_place_of_a_file_name_is_bad_configuration_and_not_shown(name: str) -> None:
    with pytest.raises(BadConfigError, match="--kubeconfig") as caught:
        kubeconfig.read(name)

    assert name not in str(caught.value)


def test_deeply_nested_yaml_is_bad_configuration(tmp_path: Path) -> None:
    path = tmp_path / "deep"
    path.write_text("[" * 100_000)

    with pytest.raises(BadConfigError, match="no YAML"):
        read(path)


# --- several files ---------------------------------------------------------------------------------------------------


def test_of_several_files_joined_by_colons_the_first_counts(write: Write) -> None:
    first = write({"token": "first"})
    second = write({"token": "second"}, "second")

    assert kubeconfig.read(f"{first}:{second}").token == "first"


def test_what_one_of_several_files_lacks_another_has_and_its_files_are_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(
        "{current-context: here, contexts: [{name: here, context: {cluster: k, user: u}}], users: null}"
    )
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "token").write_text("beside")
    worlds.kubeconfig(tmp_path / "b" / "c", {"tokenFile": "token"}, server="https://b:6443")

    access = kubeconfig.read(f"{tmp_path}/a:{tmp_path}/b/c")

    assert (access.server, access.token) == ("https://b:6443", "beside")


def test_of_several_files_those_that_are_missing_or_empty_are_passed_over(write: Write, tmp_path: Path) -> None:
    path = write({"token": "here"})
    (tmp_path / "empty").touch()

    assert kubeconfig.read(f"{tmp_path}/missing:{tmp_path}/empty:{path}:").token == "here"


def test_a_plugin_is_found_in_several_files(write: Write, tmp_path: Path) -> None:
    path = write(plugin(tmp_path, printing(token="from-plugin")))

    assert kubeconfig.read(f"{path}:{write({}, 'second')}").token == "from-plugin"


def test_a_file_may_have_a_colon_in_its_name(write: Write) -> None:
    assert read(write({"token": "here"}, "a:b")).token == "here"


@pytest.mark.parametrize("text", ["[]", "a: [", "\x00"])
def test_one_broken_file_of_several_is_bad_configuration(write: Write, tmp_path: Path, text: str) -> None:
    (tmp_path / "broken").write_text(text)

    with pytest.raises(BadConfigError, match=r"--kubeconfig .*broken: no "):
        kubeconfig.read(f"{tmp_path}/broken:{write({})}")


def test_several_files_that_are_broken_are_bad_configuration(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[]")

    with pytest.raises(BadConfigError, match="--kubeconfig"):
        kubeconfig.read(f"{tmp_path}/a:{tmp_path}/b")


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
