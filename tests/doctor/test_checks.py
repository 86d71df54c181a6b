"""Each fault is named by one check. On a healthy node every check is ok."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import worlds

from nplconf.cluster.api.access import Access
from nplconf.cluster.api.validity import Validity
from nplconf.doctor import checks, judge
from nplconf.doctor import facts as reading
from nplconf.doctor.checks import every
from nplconf.doctor.checks.antrea import agent
from nplconf.doctor.checks.api_rights import needs_home
from nplconf.doctor.checks.backend import Iptables, iptables, leftovers
from nplconf.doctor.checks.config import faults
from nplconf.doctor.checks.credentials import Used, used
from nplconf.doctor.checks.datapath import bypass
from nplconf.doctor.checks.forward_policy import Drop, Forwarding, Kernel, forwarding, kernel
from nplconf.doctor.checks.ip_forward import Filtered, filtered, forwards, unrouted
from nplconf.doctor.checks.last_success import LastSuccess, last_good_run
from nplconf.doctor.checks.port_range import KernelPorts, ports
from nplconf.doctor.checks.route_localnet import devices
from nplconf.doctor.checks.sctp import sockets
from nplconf.doctor.checks.state_dir import openable
from nplconf.doctor.facts import Facts, Fault, Unknown
from nplconf.doctor.facts.cluster import UNREAD, Answers, answers
from nplconf.doctor.facts.dropping import Dropping
from nplconf.doctor.facts.holds import holds
from nplconf.doctor.facts.kernel import missing_capabilities
from nplconf.doctor.facts.netfilter import Filter, Live, diverting, filters, live
from nplconf.doctor.facts.parts import missing_parts
from nplconf.doctor.facts.units import StoredSockets, Unit, Units, store, units
from nplconf.doctor.native import ForwardChain, Outcome
from nplconf.doctor.verdict import Verdict
from nplconf.errors import UnavailableError
from nplconf.model import FAMILIES, PROTOCOLS, Holds, LiveRule, PortRange, Right, RuleKey, Service, Taken
from nplconf.node import datapath
from nplconf.node.datapath import Datapath
from nplconf.node.nft import NativeRule
from nplconf.node.state import Openness
from nplconf.rules import antrea as predecessor
from nplconf.rules.antrea import Antrea
from nplconf.rules.foreign import ForeignRule
from nplconf.settings import CONFIG, Settings

RANGE = PortRange(61000, 62000)
LEFT = predecessor.AntreaChain("nft", "IPv4")
INSTALL, RESTART = "nplconf install-units --now", "systemctl restart nplconf-hold.service"
RUNNING = Unit("loaded", "enabled", "active", reload=False)
ABSENT = Unit("not-found", "", "inactive", reload=False)
STATES = dict.fromkeys(("nplconf-hold.socket", "nplconf-hold.service", "nplconf.timer"), RUNNING)
FORWARD = Forwarding((Filter("iptables-nft", "IPv4", (":FORWARD ACCEPT [0:0]",)),), (), frozenset({"eth0"}), {})
LOCALNET = Filter("iptables-nft", "IPv4", ("-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP",))
CLUSTER = worlds.cluster(worlds.node())
RIGHTS = (Right("list pods", allowed=True),)
ACCESS = Access(server="https://10.0.0.1", source="kubeconfig", token="t", token_file="/etc/nplconf/token")
YEAR = 365 * 86400.0
USED = Used(ACCESS, Validity(YEAR, 0, "token"), YEAR / 2)
READERS: Mapping[str, tuple[Callable[[Facts], Any], Any]] = {
    "capabilities": (missing_capabilities, frozenset()),
    "iptables": (iptables, Iptables(("nft", "legacy"), "auto", "nft", {})),
    "live": (live, Live((LiveRule(RuleKey(61044, "IPv4", "tcp"), "10.244.3.7", 80, ""),), {})),
    "leftovers": (leftovers, {}),
    "parts": (missing_parts, ()),
    "kernel": (kernel, Kernel()),
    "diverting": (diverting, ()),
    "forwarding": (forwarding, FORWARD),
    "filters": (filters, FORWARD.filters),
    "ip_forward": (forwards, {"IPv4": True}),
    "filtered": (filtered, ()),
    "unrouted": (unrouted, ()),
    "route_localnet": (devices, ()),
    "ports": (ports, KernelPorts(PortRange(32768, 60999), (), 1024)),
    "holds": (holds, Holds(available=True, ranges=(RANGE,))),
    "store": (store, StoredSockets(812, 2)),
    "sctp_sockets": (sockets, True),
    "units": (units, Units((), (), STATES)),
    "last_success": (last_good_run, LastSuccess(12.0, ever=True, timer=True)),
    "config": (faults, ()),
    "cluster": (answers, Answers(CLUSTER, RIGHTS)),
    "home": (needs_home, ""),
    "antrea": (agent, Antrea()),
    "datapath": (bypass, None),
    "state_dir": (openable, None),
    "credentials": (used, USED),
}
"""Each fact that checks look at: its reader, and what it returns on a healthy node."""


def examined(**broken: Any) -> Facts:
    """The facts of a healthy node but for these: by name in READERS, or an option of Settings."""
    options = {name: broken.pop(name) for name in ("port_range", "no_hold", "sctp") if name in broken}
    if tables := broken.get("forwarding"):
        broken["filters"] = tables if isinstance(tables, Unknown) else tables.filters
    known = {reader: broken.pop(name, healthy) for name, (reader, healthy) in READERS.items()}
    assert not broken
    sources = reading.FactSources(cluster=unread, node=unread, units=unread)
    return Facts(Settings("worker-1", **options), sources, known)


def unread() -> Any:
    raise AssertionError("nothing is read here")


def claiming(*claims: tuple[str, str, int]) -> Answers:
    """A cluster whose Services have these node ports: (Service, kind, port)."""
    return Answers(worlds.cluster(worlds.node(), *map(claiming_service, claims)), RIGHTS)


def claiming_service(claim: tuple[str, str, int]) -> Service:
    (namespace, _, name), kind, port = claim[0].partition("/"), claim[1], claim[2]
    ports: Any = {"node_port": port} if kind == "nodePort" else {"health_check_node_port": port}
    made: Service = worlds.service(name, namespace=namespace, **ports)
    return made


def unit(name: str, **changed: Any) -> Units:
    return Units((), (), STATES | {name: RUNNING._replace(**changed)})


def dropping() -> Forwarding:
    return FORWARD._replace(filters=(Filter("iptables-legacy", "IPv6", (":FORWARD DROP [0:0]",)),))


def native(place: str, outcome: Outcome = "drop") -> ForwardChain:
    return ForwardChain(place, frozenset({"IPv4"}), outcome)


OTHERS = Answers(worlds.cluster(worlds.node("worker-1.example.com")), RIGHTS)
BOTH = frozenset(FAMILIES)
RULE = Dropping("iptables-nft (IPv4), table filter, chain FORWARD", "-A FORWARD -j DROP", "iptables-nft -I FORWARD")
TAKING = ForeignRule("IPv4", "tcp", 61044, 61044, "iptables-nft PREROUTING", "-p tcp -j DNAT")
FRONT = ("web/front", "nodePort", 61500)
CLEAR = Access(server="http://10.0.0.1", source="kubeconfig", token="t")
NOT_ALLOWED = Right("get nodes", allowed=False)
BROKEN: list[tuple[str, str, dict[str, Any], str]] = [
    ("backend", "fail", {"iptables": Iptables((), "auto", None, {})}, "is installed"),
    ("backend", "fail", {"iptables": Iptables(("nft",), "legacy", None, {})}, "backend legacy is configured"),
    ("backend", "fail", {"iptables": Iptables(("nft",), "auto", None, {"IPv4": "no support"})}, "no support"),
    ("backend", "warn", {"iptables": Iptables(("nft", "legacy"), "nft", "legacy", {})}, "kubelet"),
    (
        "backend",
        "warn",
        {"iptables": Iptables(("nft",), "auto", "nft", {}, (NativeRule("ip nat POSTROUTING", "masquerade", 12),))},
        "ip nat POSTROUTING: masquerade",
    ),
    ("backend", "fail", {"parts": (Fault("xt_addrtype is missing", "modprobe xt_addrtype"),)}, "xt_addrtype"),
    ("backend-leftovers", "warn", {"leftovers": {"iptables-legacy": ("IPv4",)}}, "IPv4"),
    ("capabilities", "fail", {"capabilities": frozenset({"CAP_NET_RAW"})}, "CAP_NET_RAW"),
    ("ip-forward", "fail", {"ip_forward": {"IPv4": True, "IPv6": False}}, "net.ipv6.conf.all.forwarding"),
    ("ip-forward", "warn", {"filtered": (Filtered("eth1", "10.0.0.7", "eth0"),)}, "rp_filter=1 on eth1"),
    ("ip-forward", "fail", {"unrouted": (("10.0.0.7:61000", "10.244.3.7"),)}, "10.0.0.7:61000 (Pod 10.244.3.7)"),
    ("forward-policy", "fail", {"forwarding": dropping()}, "iptables-legacy (IPv6)"),
    ("forward-policy", "warn", {"forwarding": FORWARD._replace(native=(native("inet fw f"),))}, "inet fw f"),
    ("forward-policy", "fail", {"kernel": Kernel(BOTH, (Drop("tcp/10.0.0.1:61000", RULE),))}, "-A FORWARD -j DROP"),
    ("forward-policy", "fail", {"kernel": Kernel(BOTH, (Drop("u", None, untranslated=True),))}, "not translated"),
    ("forward-policy", "fail", {"diverting": (TAKING,)}, "tcp/61044 (IPv4): a foreign rule takes the packets"),
    ("forward-policy", "warn", {"diverting": (TAKING._replace(local=True),)}, "what this node sends to itself"),
    ("route-localnet", "warn", {"route_localnet": ("all",)}, "127.0.0.1"),
    ("port-range", "warn", {"ports": KernelPorts(PortRange(32768, 61099), (), 1024)}, "100 ports"),
    ("port-range", "warn", {"ports": KernelPorts(PortRange(1024, 65535), (PortRange(61000, 61999),), 1024)}, "1 ports"),
    ("hold", "fail", {"holds": Holds(available=False, message="there is none")}, "there is none"),
    ("hold", "fail", {"holds": Holds(available=True, ranges=(PortRange(61000, 61999),))}, "1 ports"),
    ("hold", "warn", {"holds": Holds(True, (RANGE,), (Taken(61001, "tcp", "nginx[7]"),))}, "61001/tcp by nginx[7]"),
    ("hold", "fail", {"holds": Holds(True, (RANGE,), (Taken(61044, "udp"),))}, "61044/udp by an unknown process"),
    ("sctp", "fail", {"sctp": True, "sctp_sockets": False}, "this kernel has no SCTP sockets"),
    ("sctp", "fail", {"sctp": True}, "the hold daemon runs without sctp"),
    ("hold-store", "fail", {"store": StoredSockets(812, 0)}, "0 of 2"),
    ("hold-store", "warn", {"store": StoredSockets(0, 0)}, "systemd did not start it"),
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
    ("last-success", "fail", {"last_success": LastSuccess(600.0, ever=True, timer=False, watch=True)}, "10 minutes"),
    ("last-success", "warn", {"last_success": LastSuccess(600.0, ever=True, timer=False)}, "10 minutes"),
    ("config", "fail", {"config": (Fault("line 1: bogus", "editor x"),)}, "bogus"),
    ("service-node-ports", "fail", {"cluster": claiming(FRONT)}, "web/front (nodePort 61500)"),
    ("api-rights", "fail", {"cluster": Answers(CLUSTER, (*RIGHTS, NOT_ALLOWED))}, "not allowed: get nodes"),
    ("credentials", "warn", {"credentials": USED._replace(now=YEAR - 6 * 86400)}, "expires on 1971-01-01"),
    ("credentials", "fail", {"credentials": USED._replace(now=YEAR + 1)}, "expired on 1971-01-01"),
    ("credentials", "fail", {"credentials": USED._replace(now=YEAR + 1)}, "/etc/nplconf/token"),
    ("credentials", "warn", {"credentials": USED._replace(access=CLEAR)}, "clear text"),
    ("api-rights", "fail", {"home": "plugin: $HOME is not set"}, "$HOME is not set"),
    ("antrea", "fail", {"antrea": Antrea(("antrea-agent[7]",), (), (LEFT,))}, "Antrea agent with NodePortLocal runs"),
    ("antrea", "fail", {"antrea": Antrea((), ("tcp/61002 (x[7])",), (LEFT,))}, "listening at tcp/61002 (x[7])"),
    ("antrea", "warn", {"antrea": Antrea(chains=(LEFT,))}, "no longer runs"),
    ("node-name", "fail", {"cluster": OTHERS}, "Closest names: worker-1.example.com"),
    ("state-dir", "fail", {"state_dir": Openness("/s (mode 0755)", "chmod 700 /s")}, "mode 0755"),
    ("datapath", "fail", {"datapath": Datapath("Calico's eBPF data plane", True)}, "bypasses netfilter"),
    ("datapath", "warn", {"datapath": Datapath("Cilium's eBPF host routing", None)}, "does not say"),
]  # fmt: skip


def test_the_checks_are_in_the_documented_order() -> None:
    assert [check.name for check in every()] == [
        *("backend", "backend-leftovers", "capabilities", "ip-forward", "forward-policy", "route-localnet"),
        *("port-range", "hold", "hold-store", "sctp", "units", "last-success", "config", "service-node-ports"),
        *("api-rights", "antrea", "datapath", "node-name", "credentials", "state-dir"),
    ]


def test_a_check_of_an_option_that_is_off_is_not_made() -> None:
    assert "sctp" not in judge(examined())
    assert "sctp" in judge(examined(sctp=True))


def test_a_check_is_added_by_one_module_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = """from nplconf.doctor.verdict import Check, ok
CHECKS = (Check("extra", 75, lambda facts: ok(facts.settings.node)),)
"""
    (tmp_path / "extra.py").write_text(module)
    monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(tmp_path)])
    names = [check.name for check in every.__wrapped__()]
    assert names.index("extra") == names.index("port-range") + 1


def test_a_healthy_node_needs_no_fix() -> None:
    for name, verdict in judge(examined()).items():
        assert (name, verdict.status, verdict.fix) == (name, "ok", None)
        assert verdict.message


@pytest.mark.parametrize(("check", "status", "broken", "output"), BROKEN)
def test_what_is_broken_is_named_and_nothing_else(check: str, status: str, broken: dict[str, Any], output: str) -> None:
    found = judge(examined(**broken))
    assert {name: v.status for name, v in found.items() if v.status != "ok" and v.checked} == {check: status}
    assert output in found[check].message
    assert found[check].fix


def test_a_clock_that_went_back_makes_no_negative_age() -> None:
    found = judge(examined(last_success=LastSuccess(-86398.0, ever=True, timer=True)))["last-success"]
    assert found.message == "the last run that ended well was at most 0 s ago"


def test_every_check_can_fail_or_warn() -> None:
    assert {check for check, *_ in BROKEN} == {check.name for check in every()}


def test_what_cannot_be_read_is_named_by_one_check_and_is_not_ok_in_the_others() -> None:
    blind = Unknown("without CAP_NET_ADMIN", see="capabilities")
    found = judge(examined(capabilities=frozenset({"CAP_NET_ADMIN"}), leftovers=blind, forwarding=blind))
    assert [name for name, v in found.items() if v.status == "fail"] == ["capabilities"]
    assert unchecked(found) == ["backend", "backend-leftovers", "forward-policy"]
    mute = judge(examined(cluster=Answers(UNREAD, Unknown("no credentials"))))
    assert [name for name, v in mute.items() if v.status == "fail"] == ["api-rights"]
    assert unchecked(mute) == ["service-node-ports", "node-name"]


def unchecked(found: Mapping[str, Verdict]) -> list[str]:
    """The checks that saw nothing, each of which says so and is not ok."""
    unseen = [name for name, verdict in found.items() if not verdict.checked]
    assert all(found[name].status == "warn" and found[name].fix for name in unseen)
    assert all(not found[name].message.startswith("not checked") for name in found if name not in unseen)
    return unseen


@pytest.mark.parametrize(
    "harmless",
    [
        {"route_localnet": ("all",), "forwarding": FORWARD._replace(filters=(LOCALNET,))},
        {"ports": KernelPorts(PortRange(1024, 65535), (RANGE,), 1024)},
        {"datapath": Datapath("Cilium's eBPF host routing", False)},
        {"no_hold": True, "holds": Holds(available=False), "store": StoredSockets(0, 0)},
        {"units": unit("nplconf-hold.service", active="activating")},
        {"iptables": Iptables(("nft",), "auto", None, {})},
    ],
)
def test_an_allowed_variation_is_not_reported(harmless: dict[str, Any]) -> None:
    assert [name for name, v in judge(examined(**harmless)).items() if v.status != "ok"] == []


def test_what_only_root_may_read_is_no_fault_of_the_node_and_not_ok() -> None:
    closed = Unknown("no permission", see="capabilities")
    hidden = {"holds": closed, "last_success": closed, "cluster": Answers(closed, closed), "antrea": closed}
    found = judge(examined(capabilities=frozenset({"CAP_NET_ADMIN"}), **hidden))
    assert [name for name, v in found.items() if v.status == "fail"] == ["capabilities"]
    assert unchecked(found) == [
        *("backend", "hold", "hold-store", "last-success", "service-node-ports", "api-rights", "antrea", "node-name")
    ]
    assert {found[name].fix for name in unchecked(found)} == {"sudo nplconf doctor"}


def test_a_check_whose_reader_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_facts: Facts) -> Any:
        raise UnavailableError("ip: no answer")

    facts = examined()
    facts._known.pop(bypass)
    monkeypatch.setattr(datapath, "found", lambda: broken(facts))
    found = judge(facts)
    assert unchecked(found) == ["datapath"]
    assert "ip: no answer" in found["datapath"].message


def test_one_fix_covers_all_units_with_the_same_fault() -> None:
    off = dict.fromkeys(STATES, RUNNING._replace(enabled="disabled", active="inactive"))
    assert judge(examined(units=Units((), (), off)))["units"].fix == f"systemctl enable --now {' '.join(STATES)}"
    idle = dict.fromkeys(STATES, RUNNING._replace(active="inactive"))
    gone = Holds(available=False, message="none")
    found = judge(examined(units=Units((), (), idle), holds=gone))
    assert (found["units"].fix, found["hold"].status) == ("systemctl start nplconf.timer", "fail")


def test_the_fix_for_a_missing_daemon_is_the_installed_unit_or_the_command() -> None:
    gone = {"holds": Holds(available=False, message="none")}
    assert judge(examined(**gone))["hold"].fix == "systemctl restart nplconf-hold.service"
    assert judge(examined(**gone, units=Unknown("none")))["hold"].fix == "nplconf hold"


def test_a_range_that_only_root_may_bind_is_named() -> None:
    low = PortRange(1000, 1100)
    found = judge(examined(port_range=low, holds=Holds(available=True, ranges=(low,))))
    assert {name: v.status for name, v in found.items() if v.status != "ok"} == {"port-range": "fail"}


NO_DAEMON = Holds(available=False, message="none")
IDLE = dict.fromkeys(STATES, RUNNING._replace(active="inactive"))
MANY = tuple(Taken(61001 + i, "tcp", f"nginx[{i}]") for i in range(7))
V4_AND_V6 = Forwarding(
    tuple(Filter("iptables-nft", family, (":FORWARD DROP [0:0]",)) for family in ("IPv4", "IPv6")),
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
            {"forwarding": FORWARD._replace(native=(native("inet a f"), native("ip b g")))},
            "nft insert rule inet a f ct status dnat accept && nft insert rule ip b g ct status dnat accept",
        ),
        (
            "route-localnet",
            {"route_localnet": ("eth0", "vlan.7")},
            "sysctl -w net/ipv4/conf/eth0/route_localnet=0 net/ipv4/conf/vlan.7/route_localnet=0",
        ),
        (
            "datapath",
            {"datapath": Datapath("Calico's eBPF data plane", True)},
            'kubectl patch felixconfiguration default --type=merge -p \'{"spec":{"bpfEnabled":false}}\'',
        ),
        (
            "datapath",
            {"datapath": Datapath("Cilium's eBPF host routing", True)},
            "cilium config set enable-host-legacy-routing true",
        ),
        (
            "node-name",
            {"cluster": OTHERS},
            f"sed -i '/^node:/d' {CONFIG} && echo 'node: worker-1.example.com' >>{CONFIG}",
        ),
        ("hold", {"holds": NO_DAEMON, "units": Units(("/a",), (), dict.fromkeys(STATES, ABSENT))}, INSTALL),
        ("hold", {"holds": NO_DAEMON, "units": Units((), (), dict.fromkeys(STATES, ABSENT))}, RESTART),
        ("hold", {"holds": NO_DAEMON, "units": Units(("/a",), (), STATES | {"nplconf.timer": ABSENT})}, RESTART),
        ("last-success", {"last_success": LastSuccess(None, ever=True, timer=False)}, "nplconf apply"),
        (
            "last-success",
            {"last_success": LastSuccess(None, ever=True, timer=False, watch=True)},
            "systemctl status nplconf-watch.service; journalctl -u nplconf-watch.service -n 50",
        ),
        (
            "last-success",
            {"last_success": LastSuccess(None, ever=True, timer=True)},
            "systemctl start nplconf.service || journalctl -u nplconf.service -n 50",
        ),
        ("config", {"config": (Fault("one", "fix one"), Fault("two", "fix two"))}, "fix one"),
        (
            "service-node-ports",
            {"cluster": claiming(("a/b", "nodePort", 8), ("web/front", "nodePort", 61500), ("c/d", "nodePort", 61501))},
            "kubectl -n web edit service front  # or choose another portRange",
        ),
        ("api-rights", {"cluster": Answers(CLUSTER, (Right("get nodes", allowed=False, fix="allow it"),))}, "allow it"),
        ("api-rights", {"cluster": Answers(UNREAD, Unknown("no credentials", fix="log in"))}, "log in"),
        ("api-rights", {"cluster": Answers(UNREAD, Unknown("no credentials"))}, "nplconf plan --kubeconfig FILE"),
        ("units", {"units": Units((), (), IDLE)}, "systemctl start nplconf-hold.socket nplconf.timer"),
        ("units", {"units": Units((), (), IDLE), "holds": Unknown("closed")}, "systemctl start nplconf.timer"),
        (
            "units",
            {"units": Units((), (), IDLE), "holds": Holds(available=False), "no_hold": True},
            "systemctl start nplconf-hold.socket nplconf.timer",
        ),
    ],
)
def test_every_fix_can_be_pasted_into_a_shell(check: str, broken: dict[str, Any], fix: str) -> None:
    assert judge(examined(**broken))[check].fix == fix


def test_of_many_the_first_five_are_named_and_the_others_counted() -> None:
    taken = judge(examined(holds=Holds(True, (RANGE,), MANY)))["hold"].message
    assert taken.endswith("61004/tcp by nginx[3], 61005/tcp by nginx[4] and 2 more")
    ports = tuple((f"web/s{i}", "nodePort", 61001 + i) for i in range(7))
    message = judge(examined(cluster=claiming(*ports)))["service-node-ports"].message
    assert message.endswith("web/s3 (nodePort 61004), web/s4 (nodePort 61005) and 2 more")
    assert "more" not in judge(examined(holds=Holds(True, (RANGE,), MANY[:5])))["hold"].message
    assert "more" not in judge(examined(cluster=claiming(*ports[:5])))["service-node-ports"].message


def test_one_number_that_pods_were_served_on_makes_it_a_failure_whatever_else_is_taken() -> None:
    taken = (*MANY, Taken(61044, "tcp"))
    assert judge(examined(holds=Holds(True, (RANGE,), taken)))["hold"].status == "fail"


def test_only_a_rule_that_drops_what_goes_to_127_guards_it_and_one_family_that_has_it_is_enough() -> None:
    def found(*filters: Filter) -> str:
        forwarding = FORWARD._replace(filters=filters)
        return judge(examined(route_localnet=("all",), forwarding=forwarding))["route-localnet"].status

    other = ("-A KUBE-FIREWALL -m mark --mark 0x8000 -j DROP", "-A INPUT -d 127.0.0.0/8 -j ACCEPT")
    assert found(LOCALNET._replace(lines=other)) == "warn"
    assert (
        found(LOCALNET._replace(lines=(*other, *LOCALNET.lines)), LOCALNET._replace(family="IPv6", lines=other)) == "ok"
    )


def test_on_a_node_without_a_pod_a_rule_for_pods_may_let_them_through_which_is_a_warning() -> None:
    lines = (":FORWARD DROP [0:0]", "-A FORWARD -d 10.244.0.0/16 -o cni0 -j ACCEPT")
    forwarding = FORWARD._replace(filters=(Filter("iptables-nft", "IPv4", lines),), pods={})
    assert judge(examined(forwarding=forwarding))["forward-policy"].status == "warn"


def test_an_unreadable_fact_is_not_judged() -> None:
    blind = judge(examined(route_localnet=("all",), forwarding=Unknown("without CAP_NET_ADMIN")))
    assert (blind["route-localnet"].status, blind["forward-policy"].checked) == ("warn", False)
    lacking = {"iptables": Iptables(("nft",), "auto", None, {"IPv4": "Permission denied"})}
    reported = judge(examined(**lacking, capabilities=frozenset({"CAP_NET_RAW", "CAP_NET_ADMIN"})))
    assert reported["backend"].message == "not checked: iptables does not answer without CAP_NET_ADMIN, CAP_NET_RAW"
    assert judge(examined(store=Unknown("no systemd")))["hold-store"].status == "warn"
    assert judge(examined(holds=NO_DAEMON))["hold-store"].message.endswith("(see hold)")
    assert judge(examined(no_hold=True))["hold-store"].message.endswith("no hold daemon is used (noHold)")


@pytest.mark.parametrize(
    ("check", "harmless", "output"),
    [
        ("antrea", {}, "no Antrea agent with NodePortLocal"),
        ("port-range", {"port_range": PortRange(1024, 1024)}, "1024-1024 lies outside"),
        ("sctp", {"sctp": True, "no_hold": True}, "has SCTP sockets"),
        ("sctp", {"sctp": True, "holds": Holds(True, (RANGE,), protocols=PROTOCOLS)}, "has SCTP sockets"),
        ("backend", {"iptables": Iptables(("nft",), "nft", None, {})}, "nft installed, nft configured"),
        ("last-success", {"last_success": LastSuccess(300.0, ever=True, timer=True)}, "at most 300 s ago"),
    ],
)
def test_an_ok_check_says_what_it_found(check: str, harmless: dict[str, Any], output: str) -> None:
    found = judge(examined(**harmless))[check]
    assert found.status == "ok"
    assert output in found.message


def test_what_the_kernel_let_pass_is_not_read_as_text_a_second_time() -> None:
    asked = Kernel(frozenset({"IPv6"}))
    found = judge(examined(kernel=asked, forwarding=dropping()._replace(pods={"IPv6": ("fd00::7", "")})))
    assert found["forward-policy"].status == "ok"
    assert "traced packet" in found["forward-policy"].message
