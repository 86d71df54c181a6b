"""The kinds of iptables on a machine, whatever names its distribution gives them."""

from pathlib import Path

import pytest

from nplconf.errors import UnavailableError
from nplconf.node import backend, command, libnftables


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory that holds every program of the machine."""
    monkeypatch.setattr(command, "PATH", (str(tmp_path),))
    monkeypatch.setattr(libnftables, "library", lambda: None)
    return tmp_path


def have(machine: Path, name: str, version: str, *, code: int = 0) -> None:
    """A program that answers `--version` and nothing else."""
    program = machine / name
    program.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo '{version}'\nexit {code}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        ("iptables-restore v1.8.5 (nf_tables)", ("nft",)),
        ("iptables-restore v1.8.10 (legacy)", ("legacy",)),
        ("iptables-restore v1.6.1", ("legacy",)),
    ],
)
def test_a_plain_name_has_the_kind_that_its_version_prints(machine: Path, version: str, kinds: tuple[str, ...]) -> None:
    for prefix in ("iptables", "ip6tables"):
        for what in ("restore", "save"):
            have(machine, f"{prefix}-{what}", version)
    assert backend.installed() == kinds
    assert backend.choose() == f"iptables-{kinds[0]}"
    assert backend.program("IPv6", backend.installed()[0], "save") == "ip6tables-save"


def test_a_name_with_its_kind_comes_before_a_plain_one(machine: Path) -> None:
    have(machine, "iptables-nft-restore", "")
    have(machine, "iptables-restore", "iptables-restore v1.8.9 (nf_tables)")
    assert backend.program("IPv4", "nft", "restore") == "iptables-nft-restore"
    assert backend.installed() == ("nft",)


def test_a_plain_name_whose_program_fails_has_no_kind(machine: Path) -> None:
    have(machine, "iptables-restore", "", code=1)
    assert backend.installed() == ()


def test_a_program_that_is_replaced_is_asked_again(machine: Path) -> None:
    have(machine, "iptables-restore", "v1.8.5 (nf_tables)")
    assert backend.installed() == ("nft",)
    (machine / "iptables-restore").unlink()
    have(machine, "iptables-restore", "v1.8.5 (legacy)")
    assert backend.installed() == ("legacy",)


@pytest.mark.parametrize(("tool", "advice"), [("dnf", "dnf install nftables"), ("apt-get", "apt-get install nftables")])
def test_without_any_iptables_the_message_names_the_package(machine: Path, tool: str, advice: str) -> None:
    have(machine, tool, "")
    with pytest.raises(UnavailableError, match=f"is installed: {advice}$"):
        backend.choose()
