"""The verdict of the FORWARD rules on a packet to a Pod, as far as the rules can be judged."""

import pytest

from nplconf.doctor.forward import ForwardedPacket, parse, verdict

PACKET = ForwardedPacket(frozenset({"eth0"}), "cni0", "10.244.3.7")
DOCKER = """\
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
"""
KUBE = '-A FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT\n'


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        ("", "accept"),
        (":FORWARD ACCEPT [0:0]\n", "accept"),
        (":FORWARD DROP [0:0]\n", "drop"),
        (DOCKER, "drop"),
        (DOCKER + "-A FORWARD -d 10.244.0.0/16 -j ACCEPT\n", "accept"),
        (DOCKER + "-A FORWARD -d 10.245.0.0/16 -j ACCEPT\n", "drop"),
        (DOCKER + "-A FORWARD ! -d 10.245.0.0/16 -j ACCEPT\n", "accept"),
        (DOCKER + "-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT\n", "accept"),
        (DOCKER + "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", "drop"),
        (DOCKER + "-A DOCKER-USER -i eth+ -j ACCEPT\n", "drop"),  # after the RETURN
        (DOCKER + "-A FORWARD -i eth+ -o cni0 -j ACCEPT\n", "accept"),
        (DOCKER + KUBE, "maybe"),
        (":FORWARD DROP [0:0]\n:POD - [0:0]\n-A FORWARD -j POD\n-A POD -s 10.0.0.0/8 -j ACCEPT\n", "maybe"),
        (":FORWARD ACCEPT [0:0]\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n", "drop"),
        (":FORWARD ACCEPT [0:0]\n-A FORWARD -d 10.244.3.7/32 -j DROP\n", "drop"),
        (":FORWARD ACCEPT [0:0]\n-A FORWARD -s 192.0.2.1/32 -j DROP\n", "accept"),
        (":FORWARD ACCEPT [0:0]\n-A FORWARD -m set --match-set bad src -j DROP\n", "accept"),
        (":FORWARD DROP [0:0]\n:A - [0:0]\n-A FORWARD -j A\n-A A -j A\n", "drop"),
        ("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n", "drop"),
        (":FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp --dport 22 -j ACCEPT\n-A FORWARD -j REJECT\n", "maybe"),
        (":FORWARD ACCEPT [0:0]\n:U - [0:0]\n-A FORWARD -p icmp -j ACCEPT\n-A FORWARD -j U\n-A U -j DROP\n", "maybe"),
        (":FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp --dport 22 -j ACCEPT\n", "accept"),
        (DOCKER + KUBE + "-A FORWARD -j DROP\n", "maybe"),
        (DOCKER + KUBE + "-A FORWARD -j ACCEPT\n", "accept"),
        (DOCKER + KUBE + "-A FORWARD -j LOG\n", "maybe"),
        (DOCKER + "-A FORWARD ! -d 10.244.0.0/16 -j ACCEPT\n", "drop"),
        (DOCKER + "-A FORWARD ! -s 10.0.0.0/8 -j ACCEPT\n", "maybe"),
        (DOCKER + "-A FORWARD -i eth1 -j ACCEPT\n", "drop"),
        (DOCKER + "-A FORWARD -i etc+ -j ACCEPT\n", "drop"),
        (DOCKER + "-A FORWARD -m state --state RELATED,NEW -j ACCEPT\n", "accept"),
        (DOCKER + "-A FORWARD -m rpfilter --invert -j ACCEPT\n", "maybe"),
        (DOCKER + '-A FORWARD -m comment --comment "-x" -j ACCEPT\n', "accept"),
        (DOCKER + "-A FORWARD -j\n-A FORWARD !\n-A FORWARD -o\n", "drop"),
        (":FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate INVALID,NEW -j DROP\n", "drop"),
        (':FORWARD DROP [0:0]\n-A FORWARD -m comment --comment "a \' b" -s 0.0.0.0/0 -j ACCEPT\n', "accept"),
    ],
)
def test_drop_is_reported_only_where_nothing_could_let_it_through(rules: str, outcome: str) -> None:
    assert verdict(parse(rules.splitlines()), PACKET) == outcome


def test_only_the_policy_is_certain_for_an_unknown_packet() -> None:
    assert (
        verdict(parse((DOCKER + "-A FORWARD -d 10.244.0.0/16 -j ACCEPT\n").splitlines()), ForwardedPacket()) == "maybe"
    )
    assert verdict(parse([":FORWARD DROP [0:0]"]), ForwardedPacket()) == "drop"


@pytest.mark.parametrize("option", ["-d", "-s", "! -s"])
def test_a_mask_with_holes_is_a_condition_that_cannot_be_judged(option: str) -> None:
    lines = [":FORWARD DROP [0:0]", f"-A FORWARD {option} 10.0.0.7/255.0.0.255 -j ACCEPT"]
    assert verdict(parse(lines), PACKET) == "maybe"


def test_a_packet_that_comes_by_one_of_two_devices_may_be_meant_by_a_rule_for_one() -> None:
    rules = parse([":FORWARD DROP [0:0]", "-A FORWARD -i eth0 -j ACCEPT"])
    assert verdict(rules, ForwardedPacket(frozenset({"eth0", "wlan0"}))) == "maybe"
    assert verdict(rules, ForwardedPacket(frozenset({"eth1", "wlan0"}))) == "drop"


def test_a_packet_of_which_the_way_out_is_not_known_may_be_meant() -> None:
    assert verdict(parse([":FORWARD DROP [0:0]", "-A FORWARD -o cni0 -j ACCEPT"]), ForwardedPacket()) == "maybe"


GUARD = ":FORWARD ACCEPT [0:0]\n:GUARD - [0:0]\n:ZONE - [0:0]\n-A FORWARD -j GUARD\n"


@pytest.mark.parametrize(
    ("rules", "dropped"),
    [
        ("-A GUARD -s 192.0.2.0/24 -j RETURN\n-A GUARD -j DROP\n", False),
        ("-A GUARD -s 192.0.2.0/24 -j RETURN\n-A FORWARD -j DROP\n", True),
        ("-A GUARD -o docker0 -j RETURN\n-A GUARD -j DROP\n", True),
        ("-A GUARD -s 192.0.2.0/24 -j RETURN\n-A GUARD -j ACCEPT\n-A FORWARD -j DROP\n", False),
        ("-A GUARD -i eth0\n-A GUARD -j DROP\n", True),
        ("-A GUARD -g ZONE\n-A GUARD -j DROP\n", False),
        ("-A GUARD -g ZONE\n-A ZONE -i eth0 -j DROP\n", True),
        ("-A GUARD -s 192.0.2.0/24 -g ZONE\n-A GUARD -j DROP\n", False),
        ("-A GUARD -j ZONE\n-A GUARD -j DROP\n", True),
    ],
)
def test_what_a_chain_lets_go_before_its_end_is_not_dropped_there(rules: str, *, dropped: bool) -> None:
    assert (verdict(parse((GUARD + rules).splitlines()), PACKET) == "drop") is dropped
