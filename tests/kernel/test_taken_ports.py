"""Foreign rules that take a published port first: it is not published, and verify names the rule."""

import json
import re

import pytest
import worlds
from echo import Answer
from netns import CLIENT, World

pytestmark = pytest.mark.kernel
NODE_IP = "10.10.10.10"
KINDS = {
    "hand-written": "-A PREROUTING -p tcp -m tcp --dport {port} -j DNAT --to-destination 10.244.3.2:8080",
    "kube-proxy": """:KUBE-SERVICES - [0:0]
:KUBE-EXT-X - [0:0]
-I PREROUTING 1 -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.10.10.10/32 -p tcp -m comment --comment "a/b external IP" -m tcp --dport {port} -j KUBE-EXT-X
-A KUBE-EXT-X -p tcp -m tcp -j DNAT --to-destination 10.244.3.2:8080""",
    "docker": """:DOCKER - [0:0]
-I PREROUTING 1 -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport {port} -j DNAT --to-destination 10.244.3.2:8080""",
    "everything": "-I PREROUTING 1 -d 10.10.10.10/32 -p tcp -j DNAT --to-destination 10.244.3.2:8080",
}


@pytest.fixture
def served(node: World) -> World:
    """Two Pods, of which one is asked for."""
    node.write(node.routed("web", "10.244.3.1"), node.routed("other", "10.244.3.2"), worlds.raw_service())
    assert node.apply().code == 0
    return node


def port(node: World) -> int | None:
    entries = [e for text in worlds.annotations(node.cluster).values() if text for e in json.loads(text)]
    return int(entries[0]["nodePort"]) if entries else None


@pytest.mark.watch_too
@pytest.mark.parametrize("kind", ["kube-proxy", "docker", "everything"])
def test_a_port_that_a_rule_of_others_takes_is_not_published_any_more(served: World, kind: str) -> None:
    number = port(served)
    assert number
    served.restore(f"*nat\n{KINDS[kind].format(port=number)}\nCOMMIT\n")
    assert served.ask("client", NODE_IP, number) == Answer("other", 8080, CLIENT["IPv4"])

    verified = served.json("verify")
    assert verified.code == 2
    (finding,) = [f for f in verified.data["findings"] if f["kind"] == "foreign"]
    assert str(number) in finding["message"]
    assert "DNAT --to-destination 10.244.3.2" in finding["message"]

    applied = served.apply()
    assert applied.code == 5
    assert any("foreign rule" in failure["message"] for failure in applied.data["failures"])
    assert port(served) is None


@pytest.mark.watch_too
def test_a_port_is_published_again_when_the_rule_is_gone(served: World) -> None:
    number = port(served)
    rule = f"PREROUTING -p tcp -m tcp --dport {number} -j DNAT --to-destination 10.244.3.2:8080"
    served.restore(f"*nat\n-I {rule.replace('PREROUTING', 'PREROUTING 1')}\nCOMMIT\n")
    assert served.apply().code == 5
    served.restore(f"*nat\n-D {rule}\nCOMMIT\n")
    applied = served.apply()
    assert applied.code == 0, applied.stderr
    assert port(served) == number
    assert served.nplconf("verify").returncode == 0


@pytest.mark.parametrize("backend", ["nft", "legacy"], indirect=True)
def test_a_rule_behind_the_jump_takes_nothing(served: World) -> None:
    number = port(served)
    served.restore(f"*nat\n{KINDS['hand-written'].format(port=number)}\nCOMMIT\n")
    assert served.ask("client", NODE_IP, number or 0) == Answer("web", 8080, CLIENT["IPv4"])
    assert served.nplconf("verify").returncode == 0
    assert served.apply().counts == (1, 0, 0)


@pytest.mark.watch_too
def test_a_rule_of_the_other_iptables_is_found(served: World) -> None:
    other = "nft" if served.iptables == "legacy" else "legacy"
    served.restore(f"*nat\n{KINDS['hand-written'].format(port=port(served))}\nCOMMIT\n", backend=other)
    verified = served.json("verify")
    assert [f["kind"] for f in verified.data["findings"]] == ["foreign"]
    assert f"iptables-{other}" in verified.data["findings"][0]["message"]


NATIVE = {
    "hand-written": """table ip mine {
    chain pre { type nat hook prerouting priority -101; tcp dport %d dnat to 10.244.3.2:8080; }
}""",
    "firewalld": """table inet firewalld {
    chain nat_PREROUTING { type nat hook prerouting priority -100; jump nat_PREROUTING_ZONES; }
    chain nat_PREROUTING_ZONES { iifname "client" goto nat_PRE_public; goto nat_PRE_public; }
    chain nat_PRE_public { jump nat_PRE_public_allow; }
    chain nat_PRE_public_allow { meta nfproto ipv4 tcp dport %d dnat ip to 10.244.3.2:8080; }
}""",
    "a chain of its own in table nat": """table ip nat {
    chain pre { type nat hook prerouting priority -100; tcp dport %d dnat to 10.244.3.2:8080; }
}""",
    "kube-proxy": """table ip kube-proxy {
    map service-ips { type ipv4_addr . inet_proto . inet_service : verdict
        elements = { 10.10.10.10 . tcp . %d : goto external, 10.96.0.1 . tcp . 443 : goto service } }
    chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
    chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
    chain external { meta mark set 0x4000; goto service; }
    chain service { meta l4proto tcp dnat to 10.244.3.2:8080; }
}""",
}


@pytest.mark.parametrize("text", NATIVE.values(), ids=NATIVE)
def test_a_native_rule_that_takes_a_port_is_found(served: World, text: str) -> None:
    number = port(served)
    assert number
    assert served.run("nft", "-f", "-", text=text % number).returncode == 0
    verified = served.json("verify")
    foreign = [f for f in verified.data["findings"] if f["kind"] == "foreign"]
    assert foreign
    assert all(str(number) in f["message"] and "nft " in f["message"] for f in foreign)
    assert served.apply().code == 5
    assert port(served) is None
    served.run("nft", "flush", "chain", "ip", "nat", "pre")
    for table in ("ip mine", "inet firewalld", "ip kube-proxy"):
        served.run("nft", "delete", "table", *table.split())
    assert served.apply().code == 0
    assert port(served) == number


IN_IPTABLES = {
    "port": "tcp dport {port} dnat to 10.244.3.2:8080",
    "map": "dnat to tcp dport map {{ {port} : 10.244.3.2 }}",
    "set": "ip daddr 10.10.10.10 tcp dport {{ {port}, 80 }} redirect to :22",
}


@pytest.mark.watch_too
@pytest.mark.parametrize("rule", IN_IPTABLES.values(), ids=IN_IPTABLES)
def test_a_native_rule_in_a_chain_of_iptables_is_found(served: World, rule: str) -> None:
    """iptables-nft cannot list the chain any more."""
    number = port(served)
    served.restore("*nat\n-A PREROUTING -i none -j ACCEPT\nCOMMIT\n", backend="nft")
    added = served.run("nft", "insert", "rule", "ip", "nat", "PREROUTING", rule.format(port=number))
    assert added.returncode == 0, added.stderr
    assert served.ask("client", NODE_IP, number or 0) != Answer("web", 8080, CLIENT["IPv4"])
    verified = served.json("verify")
    assert verified.code == 2
    assert [f for f in verified.data["findings"] if f["kind"] == "foreign" and str(number) in f["message"]]
    assert served.apply().code == 5
    assert port(served) is None
    (handle,) = re.findall(
        r"(?:dnat|redirect).* # handle (\d+)",
        served.run("nft", "-a", "list", "chain", "ip", "nat", "PREROUTING").stdout,
    )
    assert served.run("nft", "delete", "rule", "ip", "nat", "PREROUTING", "handle", handle).returncode == 0
    assert served.apply().code == 0
    assert port(served) == number


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_a_native_rule_behind_the_jump_in_a_chain_of_iptables_takes_nothing(served: World) -> None:
    rule = f"tcp dport {{ {port(served)}, 80 }} dnat to 10.244.3.2:8080"
    assert served.run("nft", "add", "rule", "ip", "nat", "PREROUTING", rule).returncode == 0
    assert served.ask("client", NODE_IP, port(served) or 0) == Answer("web", 8080, CLIENT["IPv4"])
    assert served.nplconf("verify").returncode == 0


LOCAL = {
    "iptables": "iptables-{kind} -t nat -I OUTPUT -p tcp --dport {port} -j DNAT --to-destination 10.244.3.2:8080",
    "native": "nft -f -",
}


@pytest.mark.parametrize("how", LOCAL)
def test_a_rule_that_takes_packets_of_the_node_alone_is_a_finding_and_the_port_stays_published(
    served: World, how: str
) -> None:
    number = port(served)
    rule = f"tcp dport {number} dnat to 10.244.3.2:8080"
    text = f"table ip mine {{ chain out {{ type nat hook output priority -101; {rule}; }}; }}"
    kind = served.iptables if served.iptables in ("nft", "legacy") else "nft"
    command = LOCAL[how].format(kind=kind, port=number).split()
    assert served.run(*command, text=text).returncode == 0
    verified = served.json("verify")
    assert verified.code == 2
    (finding,) = [f for f in verified.data["findings"] if f["kind"] == "foreign"]
    assert str(number) in finding["message"]
    assert "this node sends to itself" in finding["message"]
    assert served.apply().code == 0
    assert port(served) == number
    assert served.ask("client", NODE_IP, number or 0) == Answer("web", 8080, CLIENT["IPv4"])


@pytest.mark.watch_too
def test_a_native_chain_that_comes_later_takes_nothing(served: World) -> None:
    text = NATIVE["hand-written"].replace("-101", "-79") % port(served)
    assert served.run("nft", "-f", "-", text=text).returncode == 0
    assert served.ask("client", NODE_IP, port(served) or 0) == Answer("web", 8080, CLIENT["IPv4"])
    assert served.nplconf("verify").returncode == 0
