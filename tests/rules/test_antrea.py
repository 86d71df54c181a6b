"""The chain of an Antrea agent as values."""

import antrea
import pytest
from antrea import CHAIN

from nplconf.model import PortRange
from nplconf.rules.antrea import Antrea, AntreaChain, AntreaRule, findings, live_agent, read


@pytest.mark.parametrize("version", antrea.JUMPS)
def test_the_rules_and_jumps_of_every_version(version: str) -> None:
    chain = read("nft", "IPv4", antrea.text(antrea.rule(61002, "10.244.3.17", 8080), version=version))
    assert chain == AntreaChain(
        "nft",
        "IPv4",
        rules=(AntreaRule(61002, "IPv4", "tcp", "10.244.3.17", 8080),),
        jumps=tuple(line.removeprefix("-A ") for line in antrea.JUMPS[version]),
    )


def test_ipv6_and_udp() -> None:
    chain = read("legacy", "IPv6", antrea.text(antrea.rule(61002, "fd00:244::17", 53, "udp")))
    assert chain
    assert chain.rules == (AntreaRule(61002, "IPv6", "udp", "fd00:244::17", 53),)
    assert str(chain.rules[0]) == "udp6/61002 to [fd00:244::17]:53"


@pytest.mark.parametrize(
    "odd",
    [
        f"-A {CHAIN} -p tcp -m tcp --dport 61002 -j DNAT --to-destination :80",
        f"-A {CHAIN} -p tcp -m tcp --dport 61002:61003 -j DNAT --to-destination 10.244.3.17:80",
        f"-A {CHAIN} -p tcp -m tcp --dport 61002 -j DNAT --to-destination 10.244.3.17:80-90",
        f"-A {CHAIN} -s 10.0.0.0/8 -p tcp -m tcp --dport 61002 -j DNAT --to-destination 10.244.3.17:80",
        f"-A {CHAIN} -p icmp -j DNAT --to-destination 10.244.3.17:80",
        f"-A {CHAIN} -p tcp -m tcp --dport 61002 -j DNAT --to-destination [fd00::1]:80",
        f"-A {CHAIN} -j RETURN",
    ],
)
def test_a_rule_of_another_form_is_named_and_names_no_owner(odd: str) -> None:
    chain = read("nft", "IPv4", antrea.text(odd))
    assert chain
    assert (chain.rules, chain.unknown) == ((), (odd.removeprefix(f"-A {CHAIN} "),))


def test_no_chain_and_a_jump_alone_are_nothing() -> None:
    assert read("nft", "IPv4", "") is None
    assert read("nft", "IPv4", "-P PREROUTING ACCEPT\n") is None


def test_an_agent_lives_by_its_process_or_by_its_sockets() -> None:
    left = AntreaChain("nft", "IPv4", (AntreaRule(61002, "IPv4", "tcp", "10.244.3.17", 8080),))
    assert live_agent(Antrea(chains=(left,))) == ""
    assert "antrea-agent[812]" in live_agent(Antrea(("antrea-agent[812]",)))
    assert "listening at tcp/61002 (x[7])" in live_agent(Antrea((), ("tcp/61002 (x[7])",), (left,)))


def test_many_sockets_are_counted() -> None:
    message = live_agent(Antrea((), tuple(f"tcp/{61000 + n} (x[7])" for n in range(1005))))
    assert "61004" in message
    assert "and 1,000 more sockets" in message
    assert "61005" not in message


def test_a_chain_that_was_left_behind_is_a_finding_until_it_is_gone() -> None:
    left = AntreaChain("nft", "IPv4", (AntreaRule(40000, "IPv4", "tcp", "10.244.3.17", 8080),))
    (finding,) = findings([left], PortRange(61000, 62000))
    assert (finding.kind, finding.subject) == ("foreign", f"iptables-nft IPv4 {CHAIN}")
    assert "1 rule (1 outside 61000-62000)" in finding.message
    assert "nplconf adopt" in finding.message
    assert findings([], PortRange(61000, 62000)) == ()
