"""Native nftables rules in the chains of iptables-nft, which it cannot list then: runs work all the same."""

import json

import pytest
import worlds
from echo import Answer
from netns import CLIENT, World

pytestmark = pytest.mark.kernel
NODE_IP = "10.10.10.10"
MASQUERADE = 'oifname "eth9" masquerade'


@pytest.fixture(params=["nft"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def add(node: World, chain: str, rule: str = MASQUERADE, how: str = "add") -> None:
    done = node.run("nft", how, "rule", "ip", "nat", chain, *rule.split())
    assert done.returncode == 0, done.stderr


def port(node: World) -> int:
    (text,) = [text for text in worlds.annotations(node.cluster).values() if text]
    return int(json.loads(text)[0]["nodePort"])


@pytest.fixture
def served(node: World) -> World:
    """A Pod that is served."""
    node.write(node.routed("web", "10.244.3.1"), worlds.raw_service())
    assert node.apply().counts == (0, 1, 0)
    return node


@pytest.mark.watch_too
@pytest.mark.parametrize("how", ["add", "insert"])
@pytest.mark.parametrize("chain", ["POSTROUTING", "PREROUTING", "OUTPUT", "INPUT"])
def test_a_first_run_beside_a_native_rule_serves(node: World, chain: str, how: str) -> None:
    node.restore("*nat\nCOMMIT\n")
    priority = 100 if chain in ("POSTROUTING", "INPUT") else -100
    base = f"{{ type nat hook {chain.lower()} priority {priority}; }}"
    for words in (("table", "ip", "nat"), ("chain", "ip", "nat", chain, base)):
        assert node.run("nft", "add", *words).returncode == 0
    rule = MASQUERADE if chain == "POSTROUTING" else "tcp dport 7 counter"
    add(node, chain, rule, how)
    node.write(node.routed("web", "10.244.3.1"), worlds.raw_service())

    applied = node.apply()

    assert (applied.code, applied.counts) == (0, (0, 1, 0)), applied.stderr
    assert node.ask("client", NODE_IP, port(node)) == Answer("web", 8080, CLIENT["IPv4"])
    assert node.apply().counts == (1, 0, 0)
    assert node.nplconf("verify").returncode == 0


@pytest.mark.watch_too
@pytest.mark.parametrize("chain", ["POSTROUTING", "PREROUTING", "OUTPUT", "NPLCONF-TCP", "NPLCONF-POST"])
def test_the_rule_of_a_gone_pod_goes_beside_a_native_rule(served: World, chain: str) -> None:
    number = port(served)
    add(served, chain, MASQUERADE if "POST" in chain else "tcp dport 7 counter")
    served.write(worlds.raw_pod("other", ["10.244.3.9"], labels={}), worlds.raw_service())

    applied = served.apply("--allow-empty")

    assert applied.code == 0, applied.stderr
    assert [change["action"] for change in applied.data["changes"]] == ["delete"]
    listed = served.run("nft", "list", "table", "ip", "nat").stdout
    assert str(number) not in listed
    assert served.ask("client", NODE_IP, number) == "refused"


@pytest.mark.watch_too
def test_jumps_that_were_removed_come_back_beside_a_native_rule(served: World) -> None:
    add(served, "POSTROUTING", how="insert")
    for base in ("PREROUTING", "POSTROUTING"):
        assert served.run("iptables-nft", "-t", "nat", "-D", base, *_jump(base)).returncode == 0

    assert served.apply().code == 0

    assert served.ask("client", NODE_IP, port(served)) == Answer("web", 8080, CLIENT["IPv4"])
    assert served.run("iptables-nft", "-t", "nat", "-C", "POSTROUTING", *_jump("POSTROUTING")).returncode == 0
    assert served.nplconf("verify").returncode == 0


def _jump(base: str) -> list[str]:
    return ("-m conntrack --ctstate DNAT -j NPLCONF-POST" if base == "POSTROUTING" else "-j NPLCONF").split()


def test_cleanup_leaves_nothing_but_the_native_rule(served: World) -> None:
    add(served, "POSTROUTING")
    assert served.nplconf("cleanup").returncode == 0
    listed = served.run("nft", "list", "table", "ip", "nat").stdout
    assert "NPLCONF" not in listed
    assert "masquerade" in listed


def test_doctor_names_the_native_rule_and_the_command_that_removes_it(served: World) -> None:
    add(served, "POSTROUTING")
    found = {check["check"]: check for check in served.json("doctor").data["checks"]}
    assert found["backend"]["status"] == "warn"
    assert 'ip nat POSTROUTING: oifname "eth9" masquerade' in found["backend"]["message"]
    assert "modprobe" not in found["backend"]["fix"]

    assert served.run("sh", "-c", found["backend"]["fix"]).returncode == 0

    found = {check["check"]: check for check in served.json("doctor").data["checks"]}
    assert found["backend"]["status"] == "ok"
