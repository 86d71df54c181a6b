"""Two numbers for one Pod port, as Antrea gave them: the second one serves its clients for the cool-down."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import antrea
import pytest
import worlds
from echo import Answer
from netns import World
from repeating import PAUSE, repeated

pytestmark = [pytest.mark.kernel, pytest.mark.antrea]
NODE_IP = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
IPS = {"dns": ("10.244.3.1", "fd00:244::1"), "moved": ("10.244.3.2", "fd00:244::2")}
FIRST, SECOND, THIRD = 61888, 61777, 61999
SPLIT = (("tcp", "IPv4", FIRST), ("udp", "IPv4", SECOND), ("tcp", "IPv6", THIRD))
"""By protocol, and by family."""
ALIASES = ((SECOND, "udp", "IPv4"), (THIRD, "tcp", "IPv6"))


@pytest.fixture
def node(node: World) -> World:
    """A node as Antrea left it, with the range held."""
    for name, ips in IPS.items():
        node.routed(name, *ips, tcp=(5353,), udp=(5353,))
    have(node, annotation=antrea.annotation("2.7", "10.10.10.10", *((5353, n, p, f) for p, f, n in SPLIT)))
    for family in ("IPv4", "IPv6"):
        address = IPS["dns"][family == "IPv6"]
        rules = [antrea.rule(n, address, 5353, p) for p, f, n in SPLIT if f == family]
        node.restore(antrea.text(*rules), family)
    node.start_hold()
    return node


def have(node: World, at: str = "dns", *, annotation: str | None = None, pod: bool = True) -> None:
    """The Pod dns at one of the addresses, and the Service that asks for both protocols and families."""
    made = worlds.raw_pod("dns", list(IPS[at]), labels={"app": "dns"}, ports=[{"containerPort": 5353}])
    value = annotation or (worlds.annotations(node.cluster).get("dns") if node.cluster.exists() else None)
    made["metadata"]["annotations"] = {"nodeportlocal.antrea.io": value} if value else {}
    service = worlds.raw_service("dns", [(53, 5353, "TCP"), (53, 5353, "UDP")])
    service["spec"] |= {"selector": {"app": "dns"}, "ipFamilies": ["IPv4", "IPv6"]}
    other = worlds.raw_pod("other", ["10.244.3.9"])
    node.write(*([made] if pod else []), other, service)


def asked(node: World, number: int, protocol: str, family: str) -> Answer | str:
    return node.ask("client", NODE_IP[family], number, protocol=protocol)


@dataclass
class Client:
    """A client of one number: how often it asked, and its different answers."""

    node: World
    place: tuple[int, str, str]
    answers: set[Answer | str] = field(default_factory=set)
    count: int = 0

    def ask(self) -> None:
        self.answers.add(asked(self.node, *self.place))
        self.count += 1


@contextlib.contextmanager
def asking(node: World, place: tuple[int, str, str]) -> Iterator[Client]:
    """A client that asks in a loop until the body ends."""
    client = Client(node, place)
    with repeated(client.ask, PAUSE):
        yield client


@pytest.fixture
def adopted(node: World) -> World:
    """The node after the takeover, during which a client of each alias lost nothing."""
    with asking(node, ALIASES[0]) as one, asking(node, ALIASES[1]) as other:
        done = node.json("adopt")
    assert done.code == 0, done.stderr
    for client in (one, other):
        assert {answer.pod for answer in client.answers if isinstance(answer, Answer)} == {"dns"}
        assert len(client.answers) == 1
        assert client.count > 10
    verdicts = {(a["nodePort"], a["decision"]) for a in done.data["adopted"]}
    assert verdicts == {(FIRST, "kept"), (SECOND, "moved"), (THIRD, "moved")}
    messages = [a["message"] for a in done.data["adopted"] if a["decision"] == "moved"]
    assert all("stays as an unpublished alias for 1800 s" in message for message in messages)
    return node


def numbers(node: World) -> set[int]:
    (text,) = [text for name, text in worlds.annotations(node.cluster).items() if name == "dns"]
    return {entry["nodePort"] for entry in json.loads(text or "[]")}


def served(node: World, pod: str = "dns") -> list[bool]:
    """Whether the Pod answers at each alias."""
    answers = [asked(node, *place) for place in ALIASES]
    return [isinstance(answer, Answer) and answer.pod == pod for answer in answers]


def places(rows: list[dict[str, Any]]) -> set[tuple[int, str, str]]:
    return {(row["nodePort"], row["protocol"], row["ipFamily"]) for row in rows}


@pytest.mark.watch_too
def test_the_second_number_stays_unpublished_and_every_command_knows_it(adopted: World) -> None:
    assert numbers(adopted) == {FIRST}
    assert served(adopted) == [True, True]
    assert adopted.apply().counts[1:] == (0, 0)
    planned = adopted.json("plan", "--detailed-exitcode")
    assert planned.code == 0
    assert places([row["mapping"] for row in planned.data["aliases"]]) == set(ALIASES)
    assert f"! alias: udp/{SECOND}" in adopted.nplconf("plan").stdout
    verified = adopted.json("verify")
    assert verified.code == 0
    rows = [row for row in verified.data["mappings"] if row["mapping"]["nodePort"] != FIRST]
    assert {(row["rule"], row["hold"], row["annotation"]) for row in rows} == {("ok", "ok", "na")}
    shown = adopted.json("show").data["mappings"]
    assert places([row for row in shown if row.get("alias")]) == set(ALIASES)
    assert "an alias from Antrea, unpublished" in adopted.nplconf("explain", f"udp/{SECOND}").stdout


@pytest.mark.watch_too
def test_it_ends_by_itself_after_the_cool_down_and_its_number_is_nobodys_at_once(adopted: World) -> None:
    done = adopted.apply("--cool-down", "0")
    assert done.code == 0
    assert {(c["action"], c["reason"], c["mapping"]["nodePort"]) for c in done.data["changes"]} == {
        ("delete", "alias-ended", SECOND),
        ("delete", "alias-ended", THIRD),
    }
    assert served(adopted) == [False, False]
    assert adopted.dispatched() == {str(FIRST)}
    assert numbers(adopted) == {FIRST}
    assert adopted.nplconf("verify").returncode == 0
    assert adopted.apply().counts[1:] == (0, 0)
    assert "is free for its last owner only" in adopted.nplconf("explain", f"udp/{SECOND}").stdout


@pytest.mark.watch_too
def test_it_follows_the_pod_to_a_new_address_and_goes_with_it(adopted: World) -> None:
    have(adopted, at="moved")
    assert adopted.apply().code == 0
    assert served(adopted, "moved") == [True, True]
    assert numbers(adopted) == {FIRST}
    have(adopted, pod=False)
    assert adopted.apply().code == 0
    assert served(adopted, "moved") == [False, False]
    assert adopted.dispatched() == set()


@pytest.mark.watch_too
def test_a_lost_rule_of_it_is_made_again_and_cleanup_leaves_nothing(adopted: World) -> None:
    adopted.lose(SECOND, "udp", "IPv4")
    assert adopted.nplconf("verify").returncode == 2
    assert adopted.apply().code == 0
    assert served(adopted) == [True, True]
    assert adopted.nplconf("cleanup").returncode == 0
    assert served(adopted) == [False, False]
    assert adopted.dispatched() == set()
    assert numbers(adopted) == set()


@pytest.mark.watch_too
def test_a_run_without_the_cluster_keeps_it(adopted: World) -> None:
    text = adopted.cluster.read_text()
    adopted.cluster.write_text("{")
    assert adopted.apply().code != 0
    assert served(adopted) == [True, True]
    adopted.cluster.write_text(text)
    assert adopted.apply().counts[1:] == (0, 0)


def test_after_apply_the_chain_can_be_removed_by_hand(node: World) -> None:
    assert node.apply().code == 0
    for family in ("IPv4", "IPv6"):
        jumps = [line.replace("-A", "-D", 1) for line in antrea.JUMPS["2.7"]]
        node.restore("\n".join(("*nat", *jumps, f"-F {antrea.CHAIN}", f"-X {antrea.CHAIN}", "COMMIT", "")), family)
    assert served(node) == [True, True]
    assert node.apply().code == 0
    assert served(node) == [True, True]
    assert node.nplconf("verify").returncode == 0
