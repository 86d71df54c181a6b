"""One broken thing, one check that names it; of a node on which all is well every check is ok."""

from dataclasses import replace
from typing import Any

import pytest

from nplconf.doctor import CHECKS, judge
from nplconf.doctor.facts import (
    Facts,
    Filter,
    Forwarding,
    Iptables,
    LastSuccess,
    Ports,
    Right,
    Store,
    Unit,
    Units,
    Unknown,
)
from nplconf.model import Holds, PortRange, Taken

RANGE = PortRange(61000, 62000)
RUNNING = Unit("loaded", "enabled", "active", reload=False)
ABSENT = Unit("not-found", "", "inactive", reload=False)
STATES = dict.fromkeys(("nplconf-hold.socket", "nplconf-hold.service", "nplconf.timer"), RUNNING)
FORWARD = Forwarding((Filter("iptables-nft", "IPv4", (":FORWARD ACCEPT [0:0]",)),), (), frozenset({"eth0"}), {})
LOCALNET = Filter("iptables-nft", "IPv4", ("-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP",))
HEALTHY = Facts(
    port_range=RANGE,
    no_hold=False,
    capabilities=frozenset(),
    iptables=Iptables(("nft", "legacy"), "auto", "nft", {}),
    leftovers=(),
    forwarding=FORWARD,
    ip_forward={"IPv4": True},
    route_localnet=(),
    ports=Ports(PortRange(32768, 60999), (), 1024),
    holds=Holds(available=True, ranges=(RANGE,)),
    served=frozenset({61044}),
    store=Store(812, 2),
    units=Units((), (), STATES),
    last_success=LastSuccess(12.0, ever=True, timer=True),
    config=(),
    node_ports=(("web/front", "nodePort", 30080),),
    rights=(Right("list pods", allowed=True),),
    antrea=(False, ""),
    datapath=None,
)


def unit(name: str, **changed: Any) -> Units:
    return Units((), (), STATES | {name: RUNNING._replace(**changed)})


def dropping(*native: str) -> Forwarding:
    return FORWARD._replace(filters=(Filter("iptables-legacy", "IPv6", (":FORWARD DROP [0:0]",)),), native=native)


BROKEN: list[tuple[str, str, dict[str, Any], str]] = [
    ("backend", "fail", {"iptables": Iptables((), "auto", None, {})}, "not installed"),
    ("backend", "fail", {"iptables": Iptables(("nft",), "legacy", None, {})}, "iptables-legacy is configured"),
    ("backend", "fail", {"iptables": Iptables(("nft",), "auto", None, {"IPv4": "no support"})}, "no support"),
    ("backend", "warn", {"iptables": Iptables(("nft", "legacy"), "nft", "legacy", {})}, "kubelet"),
    ("backend-leftovers", "warn", {"leftovers": ("IPv4",)}, "IPv4"),
    ("capabilities", "fail", {"capabilities": frozenset({"CAP_NET_RAW"})}, "CAP_NET_RAW"),
    ("ip-forward", "fail", {"ip_forward": {"IPv4": True, "IPv6": False}}, "net.ipv6.conf.all.forwarding"),
    ("forward-policy", "fail", {"forwarding": dropping()}, "iptables-legacy (IPv6)"),
    ("forward-policy", "warn", {"forwarding": FORWARD._replace(native=("inet fw forward",))}, "inet fw forward"),
    ("route-localnet", "warn", {"route_localnet": ("all",)}, "127.0.0.1"),
    ("port-range", "warn", {"ports": Ports(PortRange(32768, 61099), (), 1024)}, "100 numbers"),
    ("port-range", "warn", {"ports": Ports(PortRange(1024, 65535), (PortRange(61000, 61999),), 1024)}, "1 numbers"),
    ("hold", "fail", {"holds": Holds(available=False, message="there is none")}, "there is none"),
    ("hold", "fail", {"holds": Holds(available=True, ranges=(PortRange(61000, 61999),))}, "1 numbers"),
    ("hold", "warn", {"holds": Holds(True, (RANGE,), (Taken(61001, "tcp", "nginx[7]"),))}, "61001/tcp by nginx[7]"),
    ("hold", "fail", {"holds": Holds(True, (RANGE,), (Taken(61044, "udp"),))}, "61044/udp by an unknown process"),
    ("hold-store", "fail", {"store": Store(812, 0)}, "0 of 2"),
    ("hold-store", "warn", {"store": Store(0, 0)}, "not systemd's"),
    ("units", "warn", {"units": Unknown("systemd does not run here")}, "systemd does not run here"),
    ("units", "warn", {"units": Units(("/a",), (), dict.fromkeys(STATES, ABSENT))}, "not installed"),
    ("units", "warn", {"units": Units(("/a",), ("/b",), STATES)}, "/a, /b"),
    ("units", "fail", {"units": unit("nplconf.timer", active="inactive")}, "nplconf.timer: not active"),
    ("units", "fail", {"units": unit("nplconf-hold.service", enabled="disabled")}, "not start at boot"),
    ("units", "fail", {"units": unit("nplconf.timer", load="masked")}, "masked"),
    ("units", "warn", {"units": unit("nplconf.timer", reload=True)}, "changed on disk"),
    ("last-success", "warn", {"last_success": LastSuccess(None, ever=False, timer=True)}, "no run"),
    ("last-success", "warn", {"last_success": LastSuccess(None, ever=True, timer=True)}, "this boot"),
    ("last-success", "fail", {"last_success": LastSuccess(600.0, ever=True, timer=True)}, "10 minutes"),
    ("last-success", "warn", {"last_success": LastSuccess(600.0, ever=True, timer=False)}, "10 minutes"),
    ("config", "fail", {"config": (("line 1: bogus", "editor x"),)}, "bogus"),
    ("service-node-ports", "fail", {"node_ports": (("web/front", "nodePort", 61500),)}, "web/front (nodePort 61500)"),
    ("api-rights", "fail", {"rights": (Right("list pods", True), Right("get nodes", False))}, "not allowed: get nodes"),
    ("antrea", "fail", {"antrea": (True, "iptables -X")}, "live Antrea agent"),
    ("antrea", "warn", {"antrea": (False, "iptables -X")}, "gone"),
    ("datapath", "fail", {"datapath": ("Calico's eBPF data plane", True)}, "past netfilter"),
    ("datapath", "warn", {"datapath": ("Cilium's eBPF host routing", None)}, "does not say"),
]  # fmt: skip


def test_the_checks_are_those_of_the_contract_in_its_order() -> None:
    assert list(CHECKS) == [
        *("backend", "backend-leftovers", "capabilities", "ip-forward", "forward-policy", "route-localnet"),
        *("port-range", "hold", "hold-store", "units", "last-success", "config", "service-node-ports", "api-rights"),
        *("antrea", "datapath"),
    ]


def test_a_healthy_node_has_nothing_to_mend() -> None:
    for name, verdict in judge(HEALTHY).items():
        assert (name, verdict.status, verdict.fix) == (name, "ok", None)
        assert verdict.message


@pytest.mark.parametrize(("check", "status", "broken", "said"), BROKEN)
def test_what_is_broken_is_named_and_nothing_else(check: str, status: str, broken: dict[str, Any], said: str) -> None:
    found = judge(replace(HEALTHY, **broken))
    assert {name: v.status for name, v in found.items() if v.status != "ok"} == {check: status}
    assert said in found[check].message
    assert found[check].fix


def test_a_clock_that_went_back_makes_no_time_less_than_nothing() -> None:
    found = judge(replace(HEALTHY, last_success=LastSuccess(-86398.0, ever=True, timer=True)))["last-success"]
    assert found.message == "a run ended well 0 s ago, or since"


def test_every_check_can_fail_or_warn() -> None:
    assert {check for check, *_ in BROKEN} == set(CHECKS)


def test_what_cannot_be_seen_is_named_where_it_is_to_be_mended() -> None:
    blind = Unknown("without CAP_NET_ADMIN")
    found = judge(replace(HEALTHY, capabilities=frozenset({"CAP_NET_ADMIN"}), leftovers=blind, forwarding=blind))
    assert [name for name, v in found.items() if v.status != "ok"] == ["capabilities"]
    mute = judge(replace(HEALTHY, rights=Unknown("no credentials"), node_ports=Unknown("see api-rights")))
    assert [name for name, v in mute.items() if v.status != "ok"] == ["api-rights"]


@pytest.mark.parametrize(
    "harmless",
    [
        {"route_localnet": ("all",), "forwarding": FORWARD._replace(filters=(LOCALNET,))},
        {"ports": Ports(PortRange(1024, 65535), (RANGE,), 1024)},
        {"datapath": ("Cilium's eBPF host routing", False)},
        {"antrea": (True, "")},
        {"no_hold": True, "holds": Holds(available=False), "store": Store(0, 0)},
        {"units": unit("nplconf-hold.service", active="activating")},
        {"iptables": Iptables(("nft",), "auto", None, {})},
    ],
)
def test_what_is_as_it_may_be_is_not_named(harmless: dict[str, Any]) -> None:
    assert [name for name, v in judge(replace(HEALTHY, **harmless)).items() if v.status != "ok"] == []


def test_what_only_root_may_read_is_no_fault_of_the_node() -> None:
    closed = Unknown("not ours to read", closed=True)
    lacking = {"capabilities": frozenset({"CAP_NET_ADMIN"}), "node_ports": closed}
    found = judge(replace(HEALTHY, **lacking, holds=closed, last_success=closed, rights=closed))
    assert [name for name, v in found.items() if v.status != "ok"] == ["capabilities"]


def test_all_units_that_are_wrong_in_one_way_are_mended_at_once() -> None:
    off = dict.fromkeys(STATES, RUNNING._replace(enabled="disabled", active="inactive"))
    assert (
        judge(replace(HEALTHY, units=Units((), (), off)))["units"].fix == f"systemctl enable --now {' '.join(STATES)}"
    )
    idle = dict.fromkeys(STATES, RUNNING._replace(active="inactive"))
    gone = Holds(available=False, message="none")
    found = judge(replace(HEALTHY, units=Units((), (), idle), holds=gone))
    assert (found["units"].fix, found["hold"].status) == ("systemctl start nplconf.timer", "fail")


def test_a_daemon_that_is_not_there_is_started_by_what_is_there() -> None:
    gone = {"holds": Holds(available=False, message="none")}
    assert judge(replace(HEALTHY, **gone))["hold"].fix == "systemctl restart nplconf-hold.service"
    assert judge(replace(HEALTHY, **gone, units=Unknown("none")))["hold"].fix == "nplconf hold"


def test_a_range_that_only_root_may_bind_is_named() -> None:
    low = PortRange(1000, 1100)
    found = judge(replace(HEALTHY, port_range=low, holds=Holds(available=True, ranges=(low,))))
    assert {name: v.status for name, v in found.items() if v.status != "ok"} == {"port-range": "fail"}
