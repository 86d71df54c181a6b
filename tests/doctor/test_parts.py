"""The parts of the machine that iptables needs, each one missing in turn."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nplconf.doctor.facts import Facts, FactSources, parts
from nplconf.doctor.facts.netfilter import Live, live, node
from nplconf.node import command
from nplconf.settings import Settings


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is asked."""
    monkeypatch.setattr(command, "find", lambda _: None)


def facts_of(backend: str, unreadable: Any = None) -> Facts:
    sources: Any = FactSources(cluster=dict, node=dict, units=dict)  # type: ignore[arg-type]
    known = {node: SimpleNamespace(backend=backend), live: Live((), unreadable or {})}
    return Facts(Settings("worker-1"), sources, known)


@pytest.mark.parametrize(
    ("backend", "named"), [("iptables-legacy", True), ("iptables-nft", False), ("nftables", False)]
)
def test_a_lock_that_is_a_directory_matters_to_the_legacy_kind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str, *, named: bool
) -> None:
    monkeypatch.setattr(parts, "LOCK", tmp_path)
    found = parts.missing_parts(facts_of(backend))
    assert [fault.fix for fault in found] == [f"rmdir {tmp_path} && install -m 600 /dev/null {tmp_path}"] * named


@pytest.mark.parametrize(("cmdline", "fix"), [("quiet ipv6.disable=1", "grubby"), ("quiet", "modprobe -a ipv6")])
def test_a_kernel_without_ipv6_is_named_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cmdline: str, fix: str
) -> None:
    (tmp_path / "cmdline").write_text(cmdline)
    monkeypatch.setattr(parts, "CMDLINE", tmp_path / "cmdline")
    monkeypatch.setattr(parts, "SYS", tmp_path)
    (fault,) = parts.missing_parts(facts_of("iptables-nft", {"IPv6": "can't initialize"}))
    assert fault.fix.startswith(fix)
    assert parts.missing_parts(facts_of("iptables-nft")) == ()
