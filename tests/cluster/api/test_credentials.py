"""Credentials are found in the documented order."""

from collections.abc import Callable
from pathlib import Path

import pytest
import worlds

from nplconf.cluster.api import credentials
from nplconf.cluster.api.credentials import find, used
from nplconf.errors import BadConfigError

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that is no node, and no Pod."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(credentials, "KUBELET", str(tmp_path / "kubelet.conf"))
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", str(tmp_path / "account"))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return lambda user=None, name="kubeconfig", **cluster: worlds.kubeconfig(tmp_path / name, user, **cluster)


def silent(_message: str) -> None:
    """Fail: no message is expected."""
    raise AssertionError(_message)


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


def test_a_pods_port_that_is_none_is_bad_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "account").mkdir()
    for name in ("token", "ca.crt"):
        (tmp_path / "account" / name).write_text(name)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "none")

    with pytest.raises(BadConfigError, match="--kubeconfig"):
        find(None, silent)


def test_using_the_kubelets_credentials_is_reported(write: Write) -> None:
    path = write({"token": "kubelet"}, "kubelet.conf")
    output: list[str] = []

    find(None, output.append)

    (message,) = output
    assert "the kubelet's credentials" in message
    assert str(path) in message


def test_without_any_credentials_the_way_out_is_named() -> None:
    with pytest.raises(BadConfigError, match="--kubeconfig"):
        find(None, silent)


@pytest.mark.parametrize("server", ["http://10.0.0.1", "HTTP://10.0.0.1"])
def test_credentials_in_clear_text_are_one_warning(write: Write, tmp_path: Path, server: str) -> None:
    output: list[str] = []

    find(str(worlds.kubeconfig(tmp_path / "clear", {"token": "t"}, server=server)), output.append)
    find(str(worlds.kubeconfig(tmp_path / "nobody", {}, server=server)), output.append)
    find(str(write({"token": "t"}, "encrypted")), output.append)

    (message,) = output
    assert "clear text" in message


def test_the_credentials_in_use_are_known_until_others_are_looked_for(write: Write, tmp_path: Path) -> None:
    found = find(str(write({"token": "t"}, "known")), silent)
    assert used() == found

    with pytest.raises(BadConfigError):
        find(str(tmp_path / "missing"), silent)
    assert used() is None
