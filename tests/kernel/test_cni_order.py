"""Traffic beside the POSTROUTING rules of CNIs: a Pod sees its client and reaches itself; later runs do nothing."""

import json

import pytest
import worlds
from cnis import HARMFUL, HARMLESS, Rules
from echo import Answer
from netns import CLIENT, World

pytestmark = pytest.mark.kernel
NODE_IP = "10.10.10.10"
ALL = HARMLESS | HARMFUL


@pytest.fixture
def served(node: World) -> World:
    """Two Pods, of which one is asked for."""
    node.write(node.routed("web", "10.244.3.1"), node.routed("other", "10.244.3.2"), worlds.raw_service())
    assert node.apply().code == 0
    return node


def check(node: World) -> None:
    """Everybody is served, and seen as who he is; a Pod that asks itself is seen as the node."""
    (text,) = [text for text in worlds.annotations(node.cluster).values() if text]
    number = int(json.loads(text)[0]["nodePort"])
    assert node.ask("client", NODE_IP, number) == Answer("web", 8080, CLIENT["IPv4"])
    assert node.ask("other", NODE_IP, number) == Answer("web", 8080, "10.244.3.2")
    itself = node.ask("web", NODE_IP, number)
    assert isinstance(itself, Answer), itself
    assert itself.pod == "web"
    assert itself.client != "10.244.3.1"


@pytest.mark.parametrize("rules", ALL.values(), ids=ALL)
def test_a_pod_sees_its_client_beside_a_cni_that_was_there_first(node: World, rules: Rules) -> None:
    node.restore(rules.text())
    node.write(node.routed("web", "10.244.3.1"), node.routed("other", "10.244.3.2"), worlds.raw_service())
    assert node.apply().code == 0
    check(node)
    assert node.nplconf("verify").returncode == 0


@pytest.mark.watch_too
@pytest.mark.parametrize("rules", ALL.values(), ids=ALL)
def test_a_pod_sees_its_client_beside_a_cni_that_came_later(served: World, rules: Rules) -> None:
    served.restore(rules._replace(first=True).text())
    assert served.apply().code == 0
    check(served)
    assert served.nplconf("verify").returncode == 0


@pytest.mark.watch_too
@pytest.mark.parametrize("rules", HARMLESS.values(), ids=HARMLESS)
def test_nothing_is_rewritten_beside_a_program_that_insists_on_the_first_place(served: World, rules: Rules) -> None:
    served.restore(rules.text())
    before = served.rules()
    applied = served.apply()
    assert (applied.code, applied.counts) == (0, (1, 0, 0))
    assert served.rules() == before
    check(served)


@pytest.mark.watch_too
def test_with_all_of_them_on_one_node_the_second_run_writes_nothing(served: World) -> None:
    for rules in ALL.values():
        served.restore(rules.text())
    assert served.apply().code == 0
    check(served)
    before = served.rules()
    assert served.apply().counts == (1, 0, 0)
    assert served.rules() == before
