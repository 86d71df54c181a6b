"""doctor's fixes in a container use only what exists there."""

import re
from pathlib import Path

import pytest

from nplconf.doctor.facts import Facts, FactSources, Unknown
from nplconf.doctor.facts.pod import pod
from nplconf.doctor.in_pod import FIXES, KEPT, adapted
from nplconf.doctor.verdict import Verdict, fail, ok, unchecked, warn
from nplconf.install import systemd
from nplconf.settings import Settings

NOT_THERE = re.compile(r"systemctl|journalctl|apt|dnf|sudo|install-units|editor")


@pytest.mark.parametrize(
    ("check", "fix", "expected"),
    [
        ("hold", "systemctl restart nplconf-hold.service", "kubectl -n npl logs daemonset/nplconf-hold"),
        ("hold", "nplconf hold", "kubectl -n npl logs daemonset/nplconf-hold"),
        ("last-success", "nplconf apply", "kubectl -n npl logs daemonset/nplconf "),
        ("last-success", "systemctl start nplconf.service || journalctl -u nplconf.service", "kubectl -n npl logs"),
        ("capabilities", "sudo nplconf doctor", "add NET_ADMIN and NET_RAW to securityContext"),
        ("antrea", "sudo nplconf doctor", "kubectl -n npl logs"),
        ("config", "editor /etc/nplconf/config.yaml", "correct config.yaml of the kustomization"),
        ("backend", "apt-get install iptables", "add the package iptables to the image"),
        ("backend", "install the package nftables of your distribution", "add the package nftables to the image"),
        ("backend", "modprobe -a nf_tables", "on the node: modprobe -a nf_tables"),
        ("ip-forward", "sysctl -w net.ipv4.ip_forward=1", "on the node: sysctl -w net.ipv4.ip_forward=1"),
        ("hold", "ss -Htulpn sport = 61001  # stop that program", "on the node: ss -Htulpn sport = 61001"),
        ("backend-leftovers", "nplconf cleanup", "nplconf cleanup"),
        ("api-rights", "kubectl auth can-i list pods", "kubectl auth can-i list pods"),
    ],
)
def test_a_fix_names_only_what_a_container_has(check: str, fix: str, expected: str) -> None:
    found = adapted(check, fail("wrong", fix), "npl", keeps=False)
    assert (found.status, found.message) == ("fail", "wrong")
    assert found.fix is not None
    assert found.fix.startswith(expected)
    assert not NOT_THERE.search(found.fix)


def test_ok_checks_are_unchanged() -> None:
    assert adapted("hold", ok("held"), "npl", keeps=True) == ok("held")


def test_missing_units_are_no_fault_in_a_container() -> None:
    assert adapted("units", warn("no units", "nplconf apply"), "npl", keeps=True).status == "ok"


@pytest.mark.parametrize(
    ("verdict", "keeps", "expected"),
    [
        (warn("lost in a crash", "nplconf install-units --now"), True, ok(KEPT)),
        (
            warn("lost in a crash", "nplconf install-units --now"),
            False,
            warn("lost in a crash", FIXES["hold-store"]),
        ),
    ],
)
def test_a_keeper_counts_as_a_store_of_sockets(verdict: Verdict, *, keeps: bool, expected: Verdict) -> None:
    assert adapted("hold-store", verdict, "npl", keeps=keeps) == expected


def test_an_unchecked_store_is_not_reported_as_ok() -> None:
    unseen = unchecked(Unknown("closed", see="capabilities"))
    assert adapted("hold-store", unseen, "npl", keeps=True).status == "warn"


def test_a_pod_is_known_by_its_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources = FactSources(cluster=dict, node=dict, units=dict)  # type: ignore[arg-type]
    facts = Facts(Settings("worker-1", hold_socket=str(tmp_path / "s")), sources)
    monkeypatch.setattr(systemd, "runs", lambda: False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert pod(facts) is None
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert pod(facts) == ("nplconf", False)
    monkeypatch.setattr(systemd, "runs", lambda: True)
    assert pod(facts) is None
