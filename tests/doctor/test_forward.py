"""What becomes of a packet to a Pod in FORWARD, as far as rules can tell."""

import pytest

from nplconf.doctor.forward import Packet, parse, verdict

PACKET = Packet(frozenset({"eth0"}), "cni0", "10.244.3.7")
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
        (':FORWARD DROP [0:0]\n-A FORWARD -m comment --comment "a \' b" -s 0.0.0.0/0 -j ACCEPT\n', "accept"),
    ],
)
def test_drop_is_said_only_where_nothing_could_let_it_through(rules: str, outcome: str) -> None:
    assert verdict(parse(rules.splitlines()), PACKET) == outcome


def test_of_a_packet_that_nothing_is_known_of_only_the_policy_is_sure() -> None:
    assert verdict(parse((DOCKER + "-A FORWARD -d 10.244.0.0/16 -j ACCEPT\n").splitlines()), Packet()) == "maybe"
    assert verdict(parse([":FORWARD DROP [0:0]"]), Packet()) == "drop"
