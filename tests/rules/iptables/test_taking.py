"""Foreign rules that take packets to mapped ports first."""

from typing import Any

import pytest

from nplconf.model import PortRange
from nplconf.rules.foreign import Network
from nplconf.rules.iptables.taking import Origin, Taking, taking

RANGE = PortRange(61000, 61009)
ORIGIN = Origin("iptables-nft", "IPv4")
EVERY = {("tcp", 61000, 61009), ("udp", 61000, 61009), ("sctp", 61000, 61009)}
TCP = {("tcp", 61000, 61009)}


def walked(*rules: str, origin: Origin = ORIGIN, **chains: list[str]) -> Taking:
    return taking({"PREROUTING": rules}, chains, origin, RANGE)


def ports(*rules: str, origin: Origin = ORIGIN, **chains: list[str]) -> set[tuple[str, int, int]]:
    return {(rule.protocol, rule.first, rule.last) for rule in walked(*rules, origin=origin, **chains).rules}


@pytest.mark.parametrize(
    ("rule", "taken"),
    [
        ("-p tcp -m tcp --dport 61004 -j DNAT --to-destination 10.0.0.5:80", {("tcp", 61004, 61004)}),
        ("-p udp -m udp --dport 60000:61001 -j REDIRECT --to-ports 53", {("udp", 61000, 61001)}),
        ("-p tcp -m multiport --dports 80,61002,61005:61006 -j DNAT", {("tcp", 61002, 61002), ("tcp", 61005, 61006)}),
        ("-p tcp -m tcp ! --dport 61000:61007 -j DNAT", {("tcp", 61008, 61009)}),
        ("-i eth0 -p tcp -m tcp --dport 61004 -j DNAT", {("tcp", 61004, 61004)}),
        ("-s 192.0.2.0/24 -p tcp -m tcp --dport 61004 -j DNAT", {("tcp", 61004, 61004)}),
        ("-p tcp -m set --match-set x src -m tcp --dport 61004 -j ACCEPT", {("tcp", 61004, 61004)}),
        ("-p tcp -j DNAT --to-destination 10.0.0.5", TCP),
        ("-j ACCEPT", EVERY),
        ("-j RETURN", EVERY),
        ("-m addrtype --dst-type LOCAL -j ACCEPT", EVERY),
        ("-m conntrack --ctstate NEW -j ACCEPT", EVERY),
        ("! -i lo -j ACCEPT", EVERY),
        ('-m comment --comment "all of it" -j DNAT --to-destination 10.0.0.5', EVERY),
    ],
)
def test_a_rule_takes_the_ports_that_it_names_or_all_packets_from_outside(
    rule: str, taken: set[tuple[str, int, int]]
) -> None:
    assert ports(rule) == taken


@pytest.mark.parametrize(
    "rule",
    [
        "-p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.5:80",
        "-p tcp -m multiport --dports 80,443 -j DNAT",
        "-p dccp -j DNAT --to-destination 10.0.0.5",
        "-i docker0 -j RETURN",
        "-s 10.0.0.0/8 -j ACCEPT",
        "-m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT",
        "-m mark --mark 0x1 -j ACCEPT",
        "-d 127.0.0.0/8 -p tcp -m tcp --dport 61004 -j REDIRECT",
        "-i lo -p tcp -m tcp --dport 61004 -j REDIRECT",
        "-m addrtype ! --dst-type LOCAL -j ACCEPT",
        "-m addrtype --dst-type BROADCAST -j ACCEPT",
        "-m addrtype --src-type LOCAL -j ACCEPT",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-p tcp -m tcp --dport 61004 -j MARK --set-xmark 0x4000/0x4000",
        "-p tcp -m tcp --dport 61004 -j LOG",
        "-p tcp -m tcp --dport 61004",
        '-p udp -m comment --comment "--dport 61004 -j DNAT"',
    ],
)
def test_a_rule_for_other_packets_takes_nothing(rule: str) -> None:
    assert ports(rule) == set()


def test_the_destinations_of_a_rule_are_returned() -> None:
    text = "-d 10.10.10.10/32 ! -d 10.0.0.0/8 -p tcp -m tcp --dport 61004 -j DNAT --to-destination 1.2.3.4:5"
    (rule,) = walked(text).rules
    assert rule.destinations == (Network(False, "10.10.10.10/32"), Network(True, "10.0.0.0/8"))
    assert rule.to == "1.2.3.4:5"
    assert str(rule).startswith("iptables-nft PREROUTING: -d 10.10.10.10/32")


# --- through chains --------------------------------------------------------------------------------------------------


def test_what_kube_proxy_does_for_an_external_address_is_found() -> None:
    (rule,) = walked(
        '-m comment --comment "kubernetes service portals" -j S',
        S=[
            "-d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j SVC",
            '-d 10.10.10.10/32 -p tcp -m comment --comment "a/b external IP" -m tcp --dport 61004 -j EXT',
        ],
        EXT=['-m comment --comment "masquerade" -j MASQ', "-j SVC"],
        MASQ=["-j MARK --set-xmark 0x4000/0x4000"],
        SVC=["-m statistic --mode random --probability 0.5 -j SEP", "-j SEP"],
        SEP=["-s 10.244.1.1/32 -j MASQ", "-p tcp -m tcp -j DNAT --to-destination 10.244.1.1:80"],
    ).rules[:1]
    assert (rule.first, rule.last, rule.place, rule.to) == (61004, 61004, "iptables-nft SEP", "10.244.1.1:80")


def test_what_portmap_does_for_a_host_port_is_found() -> None:
    found = ports(
        "-m addrtype --dst-type LOCAL -j H",
        H=["-p tcp -m multiport --dports 61004 -j DN"],
        DN=[
            "-s 10.244.3.0/24 -p tcp -m tcp --dport 61004 -j MARK --set-xmark 0x2000/0x2000",
            "-p tcp -m tcp --dport 61004 -j DNAT --to-destination 10.244.3.7:80",
        ],
    )
    assert found == {("tcp", 61004, 61004)}


def test_a_chain_that_gives_our_ports_back_takes_the_others_alone() -> None:
    chains: dict[str, Any] = {
        "X": ["-p tcp -m tcp --dport 61000:61007 -j RETURN", "-p tcp -j DNAT --to-destination 10.0.0.5"]
    }
    assert ports("-j X", **chains) == {("tcp", 61008, 61009)}
    assert ports("-i eth0 -j X", **chains) == set()


def test_a_chain_is_read_only_if_translated_packets_reach_it() -> None:
    assert walked("-j X").unknown == {"X"}
    assert walked("-j X", X=["-p tcp -m tcp --dport 80 -j Y", "-p udp -j Z"]).unknown == {"Z"}
    assert walked("-d 127.0.0.1/32 -j X").unknown == frozenset()


def test_what_follows_a_rule_that_takes_everything_is_not_looked_at() -> None:
    assert walked("-j ACCEPT", "-j X").unknown == frozenset()
    assert walked("-g X", "-j Y", X=[]).unknown == frozenset()


def test_a_loop_of_chains_ends() -> None:
    assert walked("-j X", X=["-j X"]) == Taking((), frozenset())


def test_in_a_base_chain_of_another_program_only_a_translation_takes_packets() -> None:
    other = ORIGIN._replace(has_jump=False)
    assert ports("-j ACCEPT", origin=other) == ports("-j RETURN", origin=other) == set()
    assert ports("-p tcp -j DNAT --to-destination 10.0.0.5", origin=other) == TCP


# --- packets that the node itself sends ------------------------------------------------------------------------------


def taken_locally(*rules: str, outside: tuple[str, ...] = (), **chains: list[str]) -> set[tuple[str, bool]]:
    found = taking({"PREROUTING": outside, "OUTPUT": rules}, chains, ORIGIN, RANGE).rules
    return {(rule.place, rule.local) for rule in found}


@pytest.mark.parametrize(
    "rule",
    [
        "-p tcp -m tcp --dport 61004 -j DNAT --to-destination 10.0.0.5:80",
        "-m owner --uid-owner 1000 -p tcp -m tcp --dport 61004 -j REDIRECT --to-ports 80",
        "-o lo -j ACCEPT",
        "! -o eth0 -m addrtype --src-type LOCAL -j ACCEPT",
        "-m addrtype --dst-type LOCAL -j REDIRECT --to-ports 80",
    ],
)
def test_a_rule_in_output_takes_packets_of_the_node_alone(rule: str) -> None:
    assert taken_locally(rule) == {("iptables-nft OUTPUT", True)}


@pytest.mark.parametrize(
    "rule",
    [
        "-o eth0 -j ACCEPT",
        "! -o lo -j ACCEPT",
        "-m addrtype ! --src-type LOCAL -j ACCEPT",
        "-d 127.0.0.1 -p tcp -m tcp --dport 61004 -j DNAT --to-destination 10.0.0.5:80",
    ],
)
def test_a_rule_in_output_for_packets_that_leave_the_node_takes_nothing(rule: str) -> None:
    assert taken_locally(rule) == set()


def test_a_chain_for_both_ways_takes_packets_from_outside_too() -> None:
    chains: dict[str, Any] = {"X": ["-p tcp -m tcp --dport 61004 -j DNAT --to-destination 10.0.0.5:80"]}
    assert taken_locally("-j X", outside=("-j X",), **chains) == {("iptables-nft X", False)}
    assert taken_locally("-o lo -j X", outside=("-j X",), **chains) == {("iptables-nft X", False)}
    assert taken_locally("-j X", outside=("-d 127.0.0.1 -j X",), **chains) == {("iptables-nft X", True)}
