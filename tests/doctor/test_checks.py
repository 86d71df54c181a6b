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
    Store,
    Unit,
    Units,
    Unknown,
)
from nplconf.model import Holds, PortRange, Right, Taken

RANGE = PortRange(61000, 62000)
INSTALL, RESTART = "nplconf install-units --now", "systemctl restart nplconf-hold.service"
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
    leftovers={},
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
    ("backend-leftovers", "warn", {"leftovers": {"iptables-legacy": ("IPv4",)}}, "IPv4"),
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
    ("last-success", "warn", {"last_success": LastSuccess(None, ever=False, timer=True)}, "no run has ended well yet"),
    ("last-success", "warn", {"last_success": LastSuccess(None, ever=True, timer=True)}, "this boot"),
    ("last-success", "fail", {"last_success": LastSuccess(6000.0, ever=True, timer=True)}, "100 minutes"),
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


NO_DAEMON = Holds(available=False, message="none")
IDLE = dict.fromkeys(STATES, RUNNING._replace(active="inactive"))
MANY = tuple(Taken(61001 + i, "tcp", f"nginx[{i}]") for i in range(7))
V4_AND_V6 = Forwarding(
    tuple(Filter("iptables-nft", family, (":FORWARD DROP [0:0]",)) for family in ("IPv4", "IPv6")),  # type: ignore[arg-type]
    (),
    frozenset(),
    {},
)


@pytest.mark.parametrize(
    ("check", "broken", "fix"),
    [
        (
            "ip-forward",
            {"ip_forward": {"IPv4": False, "IPv6": False}},
            "sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
        ),
        (
            "forward-policy",
            {"forwarding": V4_AND_V6},
            (
                "iptables-nft -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT"
                " && ip6tables-nft -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT"
            ),
        ),
        (
            "forward-policy",
            {"forwarding": FORWARD._replace(native=("inet a f", "ip b g"))},
            "nft insert rule inet a f ct status dnat accept && nft insert rule ip b g ct status dnat accept",
        ),
        (
            "route-localnet",
            {"route_localnet": ("eth0", "vlan.7")},
            "sysctl -w net/ipv4/conf/eth0/route_localnet=0 net/ipv4/conf/vlan.7/route_localnet=0",
        ),
        (
            "datapath",
            {"datapath": ("Calico's eBPF data plane", True)},
            'kubectl patch felixconfiguration default --type=merge -p \'{"spec":{"bpfEnabled":false}}\'',
        ),
        (
            "datapath",
            {"datapath": ("Cilium's eBPF host routing", True)},
            "cilium config set enable-host-legacy-routing true",
        ),
        ("hold", {"holds": NO_DAEMON, "units": Units(("/a",), (), dict.fromkeys(STATES, ABSENT))}, INSTALL),
        ("hold", {"holds": NO_DAEMON, "units": Units((), (), dict.fromkeys(STATES, ABSENT))}, RESTART),
        ("hold", {"holds": NO_DAEMON, "units": Units(("/a",), (), STATES | {"nplconf.timer": ABSENT})}, RESTART),
        ("last-success", {"last_success": LastSuccess(None, ever=True, timer=False)}, "nplconf apply"),
        (
            "last-success",
            {"last_success": LastSuccess(None, ever=True, timer=True)},
            "systemctl start nplconf.service || journalctl -u nplconf.service -n 50",
        ),
        ("config", {"config": (("one", "mend one"), ("two", "mend two"))}, "mend one"),
        (
            "service-node-ports",
            {"node_ports": (("a/b", "nodePort", 80), ("web/front", "nodePort", 61500), ("c/d", "nodePort", 61501))},
            "kubectl -n web edit service front  # or choose another portRange",
        ),
        ("api-rights", {"rights": (Right("get nodes", allowed=False, fix="allow it"),)}, "allow it"),
        ("api-rights", {"rights": Unknown("no credentials", fix="log in")}, "log in"),
        ("api-rights", {"rights": Unknown("no credentials")}, "nplconf plan --kubeconfig FILE"),
        ("units", {"units": Units((), (), IDLE)}, "systemctl start nplconf-hold.socket nplconf.timer"),
        ("units", {"units": Units((), (), IDLE), "holds": Unknown("closed")}, "systemctl start nplconf.timer"),
        (
            "units",
            {"units": Units((), (), IDLE), "holds": Holds(available=False), "no_hold": True},
            "systemctl start nplconf-hold.socket nplconf.timer",
        ),
    ],
)
def test_the_command_that_mends_it_is_one_that_can_be_pasted(check: str, broken: dict[str, Any], fix: str) -> None:
    assert judge(replace(HEALTHY, **broken))[check].fix == fix


def test_of_many_the_first_five_are_named_and_the_others_counted() -> None:
    taken = judge(replace(HEALTHY, holds=Holds(True, (RANGE,), MANY)))["hold"].message
    assert taken.endswith("61004/tcp by nginx[3], 61005/tcp by nginx[4] and 2 more")
    ports = tuple((f"web/s{i}", "nodePort", 61001 + i) for i in range(7))
    message = judge(replace(HEALTHY, node_ports=ports))["service-node-ports"].message
    assert message.endswith("web/s3 (nodePort 61004), web/s4 (nodePort 61005) and 2 more")
    assert "more" not in judge(replace(HEALTHY, holds=Holds(True, (RANGE,), MANY[:5])))["hold"].message
    assert "more" not in judge(replace(HEALTHY, node_ports=ports[:5]))["service-node-ports"].message


def test_one_number_that_pods_were_served_on_makes_it_a_failure_whatever_else_is_taken() -> None:
    taken = (*MANY, Taken(61044, "tcp"))
    assert judge(replace(HEALTHY, holds=Holds(True, (RANGE,), taken)))["hold"].status == "fail"


def test_only_a_rule_that_drops_what_goes_to_127_guards_it_and_one_family_that_has_it_is_enough() -> None:
    def found(*filters: Filter) -> str:
        forwarding = FORWARD._replace(filters=filters)
        return judge(replace(HEALTHY, route_localnet=("all",), forwarding=forwarding))["route-localnet"].status

    other = ("-A KUBE-FIREWALL -m mark --mark 0x8000 -j DROP", "-A INPUT -d 127.0.0.0/8 -j ACCEPT")
    assert found(LOCALNET._replace(lines=other)) == "warn"
    assert (
        found(LOCALNET._replace(lines=(*other, *LOCALNET.lines)), LOCALNET._replace(family="IPv6", lines=other)) == "ok"
    )


def test_on_a_node_without_a_pod_a_rule_for_pods_may_let_them_through() -> None:
    lines = (":FORWARD DROP [0:0]", "-A FORWARD -d 10.244.0.0/16 -o cni0 -j ACCEPT")
    forwarding = FORWARD._replace(filters=(Filter("iptables-nft", "IPv4", lines),), pods={})
    assert judge(replace(HEALTHY, forwarding=forwarding))["forward-policy"].status == "ok"


def test_what_could_not_be_read_is_nothing_to_judge_by() -> None:
    blind = judge(replace(HEALTHY, route_localnet=("all",), forwarding=Unknown("without CAP_NET_ADMIN")))
    assert (blind["route-localnet"].status, blind["forward-policy"].status) == ("warn", "ok")
    lacking = {"iptables": Iptables(("nft",), "auto", None, {"IPv4": "Permission denied"})}
    told = judge(replace(HEALTHY, **lacking, capabilities=frozenset({"CAP_NET_RAW", "CAP_NET_ADMIN"})))
    assert told["backend"].message == "not checked: without CAP_NET_ADMIN, CAP_NET_RAW iptables gives no answer"
    assert judge(replace(HEALTHY, store=Unknown("no systemd")))["hold-store"].status == "warn"
    assert judge(replace(HEALTHY, holds=NO_DAEMON))["hold-store"].message.endswith("answers, see hold")
    assert judge(replace(HEALTHY, no_hold=True))["hold-store"].message.endswith("no hold daemon is used")


@pytest.mark.parametrize(
    ("check", "harmless", "said"),
    [
        ("antrea", {"antrea": (True, "")}, "an Antrea agent without NodePortLocal"),
        ("antrea", {}, "no Antrea agent"),
        ("port-range", {"port_range": PortRange(1024, 1024)}, "1024-1024: no number is given to a connection"),
        ("backend", {"iptables": Iptables(("nft",), "nft", None, {})}, "nft installed, nft configured"),
        ("last-success", {"last_success": LastSuccess(300.0, ever=True, timer=True)}, "a run ended well 300 s ago"),
    ],
)
def test_what_is_well_says_what_was_found(check: str, harmless: dict[str, Any], said: str) -> None:
    found = judge(replace(HEALTHY, **harmless))[check]
    assert found.status == "ok"
    assert said in found.message
