"""Foreign rules that could end or masquerade translated packets."""

import pytest
from cnis import HARMFUL, HARMLESS, Rules

from nplconf.rules.iptables.ending import Ending, Flows, ends

FLOWS = Flows(frozenset({"10.244.3.1", "10.244.3.7"}), frozenset({"cali12", "cali34"}))


@pytest.mark.parametrize("rules", HARMLESS.values(), ids=HARMLESS)
def test_the_jump_may_stand_behind_rules_that_do_nothing_to_translated_packets(rules: Rules) -> None:
    assert ends(rules.base, rules.chains, FLOWS) == Ending(possible=False)


@pytest.mark.parametrize("rules", HARMFUL.values(), ids=HARMFUL)
def test_the_jump_must_stand_before_rules_that_could(rules: Rules) -> None:
    assert ends(rules.base, rules.chains, FLOWS).possible


@pytest.mark.parametrize(
    ("rule", "possible"),
    [
        ("-p dccp -j MASQUERADE", False),
        ("-p sctp -j MASQUERADE", True),
        ("-p tcp -j MASQUERADE", True),
        ("-d 192.0.2.0/24 -j ACCEPT", False),
        ("! -d 10.244.0.0/16 -j MASQUERADE", False),
        ("! -d 10.244.3.1/32 -j MASQUERADE", True),
        ("-s 127.0.0.0/8 -j MASQUERADE", False),
        ("-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", True),
        ("-o eth0 -j MASQUERADE", False),
        ("-o cali+ -j MASQUERADE", True),
        ("! -o cali+ -j MASQUERADE", False),
        ("-o cali12 -j MASQUERADE", True),
        ("-m conntrack --ctstate RELATED -j ACCEPT", False),
        ("-m mark --mark 0x1 -j MASQUERADE", False),
        ("-m mark ! --mark 0x1 -j MASQUERADE", True),
        ("-m set --match-set x src -m set ! --match-set cali40all-ipam-pools dst -j MASQUERADE", False),
        ("-m set --match-set x dst -j MASQUERADE", True),
        ("-s 10.244.3.1/32 -d 10.244.3.1/32 -j SNAT --to-source 192.0.2.1", False),
        ("-s 10.244.3.1/32 -d 10.244.3.1/32 -j ACCEPT", True),
        ("-j RETURN", True),
        ('-j LOG --log-prefix "a -j ACCEPT"', False),
        ('-m comment --comment "-j MASQUERADE"', False),
    ],
)
def test_a_rule_counts_when_a_translated_packet_could_match_it(rule: str, possible: bool) -> None:  # noqa: FBT001
    assert ends([rule], {}, FLOWS).possible is possible


def test_where_nothing_is_known_of_devices_each_may_lead_to_a_pod() -> None:
    assert ends(["-o eth0 -j MASQUERADE"], {}, FLOWS._replace(devices=frozenset())).possible


def test_a_chain_that_must_be_known_is_asked_for() -> None:
    assert ends(["-j X"], {}, FLOWS) == Ending(possible=False, unknown=frozenset({"X"}))
    assert ends(["-j X"], {"X": ["-j Y"]}, FLOWS).unknown == {"Y"}
    assert ends(["-d 192.0.2.1/32 -j X"], {}, FLOWS) == Ending(possible=False)


def test_a_loop_of_chains_ends() -> None:
    assert ends(["-j X"], {"X": ["-j X"]}, FLOWS).possible


def test_without_a_pod_there_is_no_packet_to_lose() -> None:
    assert ends(["-j MASQUERADE"], {}, Flows(frozenset())) == Ending(possible=False)
