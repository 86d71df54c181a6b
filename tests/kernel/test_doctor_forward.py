"""Each firewall that drops packets to Pods, on a node with a live mapping: doctor names the rule, and the fix works.

What lets packets pass is never named.
"""

import json

import pytest
import worlds
from netns import World

pytestmark = pytest.mark.kernel


@pytest.fixture
def backend() -> str:
    return "nft"


@pytest.fixture
def served(node: World) -> World:
    """A node with a mapping for each protocol."""
    ports = [(80, 8080, "TCP"), (81, 9090, "UDP")]
    node.write(node.routed("web", "10.244.3.1", udp=(9090,)), worlds.raw_service("web", ports))
    node.start_hold()
    assert node.apply().code == 0
    return node


def verdict(node: World) -> dict[str, str]:
    done = node.json("doctor")
    return next(check for check in done.data["checks"] if check["check"] == "forward-policy")


def make(node: World, commands: str) -> None:
    for line in filter(None, map(str.strip, commands.splitlines())):
        done = node.run("nft", line.removeprefix("nft ")) if line.startswith("nft ") else node.run("sh", "-c", line)
        assert done.returncode == 0, f"{line}: {done.stderr}"


UFW = """
iptables-nft -N ufw-user-forward
iptables-nft -N ufw-reject
iptables-nft -A FORWARD -p udp --dport 53 -j ACCEPT
iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-nft -A FORWARD -p icmp --icmp-type echo-request -j ACCEPT
iptables-nft -A FORWARD -j ufw-user-forward
iptables-nft -A ufw-user-forward -p tcp --dport 22 -j ACCEPT
iptables-nft -A FORWARD -j ufw-reject
iptables-nft -A ufw-reject -j REJECT
"""
DROPPING = [
    pytest.param("iptables-nft -P FORWARD DROP", "table filter, chain FORWARD", "policy drop", id="policy"),
    pytest.param(UFW, "table filter, chain ufw-reject", "-A ufw-reject -j REJECT", id="ufw"),
    pytest.param(
        "iptables-nft -P FORWARD DROP\niptables-nft -A FORWARD -p tcp --dport 80 -j ACCEPT",
        "chain FORWARD", "policy drop", id="a rule that may mean it, and does not",
    ),
    pytest.param("iptables-nft -t raw -A PREROUTING -p tcp -j DROP", "table raw, chain PREROUTING", "-p tcp", id="raw"),
    pytest.param("iptables-nft -t mangle -A PREROUTING -p tcp -j DROP", "table mangle", "-j DROP", id="mangle-pre"),
    pytest.param("iptables-nft -t mangle -A FORWARD -j DROP", "table mangle, chain FORWARD", "-j DROP", id="mangle"),
    pytest.param("iptables-nft -t security -A FORWARD -j DROP", "table security", "-j DROP", id="security"),
    pytest.param("iptables-nft -t raw -A PREROUTING -p tcp -j CT --notrack", "table raw", "notrack", id="notrack"),
    pytest.param(
        """
        nft add table inet fw; add chain inet fw f { type filter hook forward priority 0; policy accept; }
        nft add rule inet fw f ct state established accept
        nft add rule inet fw f tcp dport 22 accept
        nft add rule inet fw f reject
        """,
        "inet fw f", "reject", id="final reject with policy accept",
    ),
    pytest.param(
        """
        nft add table inet fw; add chain inet fw f { type filter hook forward priority 0; policy drop; }
        nft add rule inet fw f tcp dport 22 accept comment "dnat"
        """,
        "inet fw f", "policy drop", id="dnat in a comment alone",
    ),
    pytest.param(
        """
        nft add table ip filter; add chain ip filter mine { type filter hook forward priority 0; policy drop; }
        nft add rule ip filter mine ct state established accept
        """,
        "nftables chain ip filter mine", "policy drop", id="a native chain in ip filter",
    ),
    pytest.param(
        "nft add table inet fw; add chain inet fw p { type filter hook prerouting priority -300; }\n"
        "nft add rule inet fw p tcp dport 1024-65535 drop",
        "inet fw p", "drop", id="nft prerouting",
    ),
    pytest.param(
        'nft add table netdev fw; add chain netdev fw i { type filter hook ingress device "client" priority 0; }\n'
        "nft add rule netdev fw i tcp dport 61000-62000 drop",
        "netdev fw i", "drop", id="netdev ingress",
    ),
    pytest.param("iptables-legacy -P FORWARD DROP", "iptables-legacy (IPv4), table filter", "DROP", id="legacy policy"),
    pytest.param("iptables-legacy -t raw -A PREROUTING -p tcp -j DROP", "table raw", "-j DROP", id="legacy raw"),
    pytest.param("iptables-legacy -t mangle -A FORWARD -j DROP", "table mangle", "-j DROP", id="legacy mangle"),
    pytest.param("iptables-nft -A FORWARD -p udp -j DROP", "chain FORWARD", "-p udp -j DROP", id="one protocol alone"),
]  # fmt: skip
HARMLESS = [
    pytest.param(
        """
        nft add table inet fw; add chain inet fw f { type filter hook forward priority 0; policy drop; }
        nft add chain inet fw allowed
        nft add rule inet fw allowed ct status dnat accept
        nft add rule inet fw f jump allowed
        """,
        id="a chain that is jumped to accepts dnat",
    ),
    pytest.param(
        """
        nft add table inet fw; add chain inet fw f { type filter hook forward priority 0; policy drop; }
        nft add rule inet fw f ip daddr 10.244.0.0/16 accept
        """,
        id="the Pods' network is accepted",
    ),
    pytest.param(
        "iptables-nft -P FORWARD DROP\niptables-nft -A FORWARD -p tcp --dport 8080 -j ACCEPT\n"
        "iptables-nft -A FORWARD -p udp --dport 9090 -j ACCEPT",
        id="the Pods' ports are accepted",
    ),
    pytest.param("iptables-nft -A FORWARD -s 192.0.2.0/24 -j DROP", id="somebody else is dropped"),
]


@pytest.mark.parametrize(("firewall", "place", "rule"), DROPPING)
def test_the_rule_that_drops_packets_to_pods_is_named_and_the_fix_lets_them_pass(
    served: World, firewall: str, place: str, rule: str
) -> None:
    assert verdict(served)["status"] == "ok"
    make(served, firewall)
    for _ in range(2):  # one fix for each protocol
        found = verdict(served)
        if found["status"] == "ok":
            break
        assert found["status"] == "fail", found
        assert place in found["message"], found
        assert rule in found["message"], found
        assert served.run("sh", "-c", found["fix"]).returncode == 0, found
    assert verdict(served)["status"] == "ok", verdict(served)


@pytest.mark.parametrize("firewall", HARMLESS)
def test_a_firewall_that_lets_packets_to_pods_pass_is_not_named(served: World, firewall: str) -> None:
    make(served, firewall)
    assert verdict(served)["status"] == "ok", verdict(served)
    assert "traced packet" in verdict(served)["message"]


def test_the_test_packet_leaves_no_trace_and_reaches_no_pod(served: World) -> None:
    served.run("conntrack", "-F")
    before = served.run("nft", "list", "ruleset").stdout, served.run("ip", "-json", "link").stdout
    assert verdict(served)["status"] == "ok"
    after = served.run("nft", "list", "ruleset").stdout, served.run("ip", "-json", "link").stdout
    assert after[1] == before[1]
    assert "nplconf-probe" not in after[0]
    assert "10.244.3.1" not in served.run("conntrack", "-L", "-p", "tcp").stdout
    assert json.loads(served.run("ip", "-json", "-s", "link", "show", "web").stdout)


def test_without_a_mapping_a_rule_that_cannot_be_judged_is_a_warning(node: World) -> None:
    node.write(node.routed("web", "10.244.3.1"))
    node.hold = True
    make(node, UFW)
    assert verdict(node)["status"] == "warn"
    make(node, "iptables-nft -F; iptables-nft -P FORWARD DROP")
    assert verdict(node)["status"] == "fail"
    make(node, "iptables-nft -I FORWARD -m mark --mark 7 -j ACCEPT")
    found = verdict(node)
    assert (found["status"], "cannot tell" in found["message"]) == ("warn", True), found
