"""Native nftables rules that take packets to mapped ports first, from nft's JSON."""

from typing import Any

import pytest

from nplconf.model import PortRange
from nplconf.rules.foreign import Network
from nplconf.rules.native import BaseChain, NativeTaking, taking

RANGE = PortRange(61000, 61009)
BASE = BaseChain("ip", "t", "pre")
DNAT = {"dnat": {"addr": "10.0.0.5", "port": 80}}
COUNTER = {"counter": {"packets": 1, "bytes": 2}}


def is_(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


DPORT, DADDR = payload("tcp", "dport"), payload("ip", "daddr")
FIB = {"fib": {"result": "type", "flags": ["daddr"]}}
IIF = {"meta": {"key": "iifname"}}


def walked(*rules: list[dict[str, Any]], base: BaseChain = BASE, **known: Any) -> NativeTaking:
    return taking({"chain pre": rules} | {name.replace("_", " ", 1): v for name, v in known.items()}, base, RANGE)


def ports(*rules: list[dict[str, Any]], **known: Any) -> set[tuple[str, int, int]]:
    return {(rule.protocol, rule.first, rule.last) for rule in walked(*rules, **known).rules}


ONE = {("tcp", 61004, 61004)}
TCP = {("tcp", 61000, 61009)}
EVERY = TCP | {("udp", 61000, 61009), ("sctp", 61000, 61009)}


@pytest.mark.parametrize(
    ("rule", "taken"),
    [
        ([is_(DPORT, 61004), DNAT], ONE),
        ([is_(IIF, "eth0"), is_(DPORT, 61004), COUNTER, DNAT], ONE),
        ([is_(DPORT, {"range": [60000, 61001]}), {"redirect": {"port": 53}}], {("tcp", 61000, 61001)}),
        ([is_(DPORT, {"set": [80, 61004]}), DNAT], ONE),
        ([is_(DPORT, {"range": [61000, 61007]}, "!="), DNAT], {("tcp", 61008, 61009)}),
        ([is_({"meta": {"key": "l4proto"}}, "tcp"), DNAT], TCP),
        ([is_(payload("ip", "protocol"), 6), DNAT], TCP),
        ([is_(FIB, "local"), DNAT], EVERY),
        ([{"dnat": {"addr": {"map": {"key": DPORT, "data": {"set": [[61004, "10.0.0.5"], [80, "x"]]}}}}}], ONE),
        ([{"vmap": {"key": DPORT, "data": {"set": [[61004, {"drop": None}], [61005, {"accept": None}]]}}}], ONE),
        ([is_(DPORT, 61004), {"xt": {"type": "target", "name": "DNAT"}}], ONE),
        ([is_(DPORT, 61004), {"drop": None}], ONE),
    ],
)
def test_a_rule_takes_the_ports_that_it_names_or_all_packets_from_outside(
    rule: list[dict[str, Any]], taken: set[tuple[str, int, int]]
) -> None:
    assert ports(rule) == taken


@pytest.mark.parametrize(
    "rule",
    [
        [is_(DPORT, 80), DNAT],
        [is_(DPORT, 61004), {"accept": None}],
        [is_(DPORT, 61004), {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}],
        [is_(IIF, "eth0"), DNAT],
        [is_(IIF, "lo"), is_(DPORT, 61004), DNAT],
        [is_(payload("ip", "saddr"), "192.0.2.1"), DNAT],
        [is_(DADDR, "127.0.0.1"), is_(DPORT, 61004), DNAT],
        [is_(FIB, "local", "!="), is_(DPORT, 61004), DNAT],
        [is_(payload("ip6", "daddr"), "fd00::1"), is_(DPORT, 61004), DNAT],
    ],
)
def test_a_rule_for_other_packets_takes_nothing(rule: list[dict[str, Any]]) -> None:
    assert ports(rule) == set()


def test_what_kube_proxy_does_for_an_external_address_is_found() -> None:
    key = {"concat": [DADDR, {"meta": {"key": "l4proto"}}, payload("th", "dport")]}
    services: Any = [
        [{"concat": ["10.96.0.1", "tcp", 443]}, {"goto": {"target": "svc"}}],
        [{"elem": {"val": {"concat": ["10.10.10.10", "tcp", 61004]}, "comment": "a/b"}}, {"goto": {"target": "ext"}}],
    ]
    found = walked(
        [{"jump": {"target": "services"}}],
        chain_services=[[{"vmap": {"key": key, "data": "@service-ips"}}]],
        **{"map_service-ips": services},
        chain_ext=[[{"mangle": {}}], [{"goto": {"target": "svc"}}]],
        chain_svc=[[{"vmap": {"key": {"numgen": {}}, "data": {"set": [[0, {"goto": {"target": "ep"}}]]}}}]],
        chain_ep=[[is_({"meta": {"key": "l4proto"}}, "tcp"), DNAT]],
    )
    assert {
        (r.first, r.last, r.destinations) for r in found.rules if Network(False, "10.10.10.10") in r.destinations
    } == {(61004, 61004, (Network(False, "10.10.10.10"),))}
    assert found.rules[-1].place == "nft ip t ep"


def test_what_must_be_read_is_asked_for() -> None:
    assert taking({}, BASE, RANGE).unknown == {"chain pre"}
    assert walked([{"jump": {"target": "x"}}]).unknown == {"chain x"}
    assert walked([is_(DPORT, "@s"), DNAT]).unknown == {"set s"}
    assert walked([{"vmap": {"key": DPORT, "data": "@m"}}]).unknown == {"map m"}
    assert walked([is_(DPORT, 80), {"jump": {"target": "x"}}]).unknown == frozenset()


def test_a_table_of_both_families_is_looked_at_for_each() -> None:
    families = {(r.family, r.first) for r in walked([is_(DPORT, 61004), DNAT], base=BASE._replace(kind="inet")).rules}
    assert families == {("IPv4", 61004), ("IPv6", 61004)}
    only4 = walked(
        [is_({"meta": {"key": "nfproto"}}, "ipv4"), is_(DPORT, 61004), DNAT], base=BASE._replace(kind="inet")
    )
    assert {r.family for r in only4.rules} == {"IPv4"}


def test_what_is_given_back_first_is_not_taken() -> None:
    assert ports([is_(DPORT, {"range": [61000, 61007]}), {"return": None}], [DNAT]) == {
        ("tcp", 61008, 61009),
        ("udp", 61000, 61009),
        ("sctp", 61000, 61009),
    }


def test_a_loop_of_chains_ends() -> None:
    assert walked([{"jump": {"target": "pre"}}]) == NativeTaking((), frozenset())


# --- in base chains of iptables-nft, which cannot list native rules ---------------------------------------------------

OWN = BaseChain("ip", "nat", "pre", until="NPLCONF")
NATIVE = [is_(DPORT, 61004), DNAT]
JUMP: list[dict[str, Any]] = [COUNTER, {"jump": {"target": "NPLCONF"}}]


@pytest.mark.parametrize("rule", [NATIVE, [is_(DPORT, 61004), {"accept": None}], [is_(DPORT, 61004), {"return": None}]])
def test_what_ends_a_base_chain_before_the_jump_takes_packets(rule: list[dict[str, Any]]) -> None:
    found = walked(rule, JUMP, base=OWN).rules
    assert {(r.protocol, r.first, r.place) for r in found} == {("tcp", 61004, "nft ip nat pre")}
    assert walked(JUMP, rule, base=OWN) == NativeTaking((), frozenset())


def test_in_a_base_chain_without_the_jump_only_a_translation_takes_packets() -> None:
    other = OWN._replace(until="")
    assert walked([is_(DPORT, 61004), {"accept": None}], base=other).rules == ()
    assert len(walked(NATIVE, base=other).rules) == 1


def test_a_chain_that_gives_packets_back_to_a_base_chain_takes_none() -> None:
    rules = walked([{"jump": {"target": "x"}}], JUMP, base=OWN, chain_x=[[is_(DPORT, 61004), {"return": None}]]).rules
    assert rules == ()


# --- packets that the node itself sends -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oif", "oifname"])
def test_packets_of_the_node_to_itself_leave_by_lo(name: str) -> None:
    local = BASE._replace(local=True)
    device = {"meta": {"key": name}}
    assert {rule.local for rule in walked([is_(device, "lo"), DNAT], base=local).rules} == {True}
    assert {rule.local for rule in walked([is_(device, "eth0", "!="), DNAT], base=local).rules} == {True}
    assert walked([is_(device, "eth0"), is_(DPORT, 61004), DNAT], base=local).rules == ()
    assert walked([is_(device, "lo", "!="), is_(DPORT, 61004), DNAT], base=local).rules == ()
