"""What a run leaves to the next one."""

import pytest
from inmemory import World
from readings import SETTINGS, decided, observed
from worlds import cluster, mapping, node, pod, service
from worlds import plan as planned

from nplconf.model import ContainerPort
from nplconf.plan.cooling import Cooling
from nplconf.plan.state import State
from nplconf.run.decide import decide


def test_a_number_that_was_planned_and_is_not_the_live_one_cools_for_its_owner() -> None:
    moved = observed(mapping(61001), state=State(boot="boot-1", plan=planned(mapping(61002))))
    found = decided(pod(), service(), on=moved)
    assert [m.node_port for m in found.plan.mappings] == [61001]
    assert found.next_state.cooling == (Cooling(61002, mapping().owner, 1000.0),)


def test_a_number_that_went_from_us_to_a_host_port_cools_too() -> None:
    other = pod("web-1", ["10.244.3.18"], ports=[ContainerPort(8080, host_port=61044)])
    found = decided(other, service(), on=observed(mapping()))
    assert [(m.node_port, m.via) for m in found.plan.mappings] == [(61044, "hostPort")]
    assert [c.number for c in found.next_state.cooling] == [61044]


@pytest.mark.parametrize(("boot", "freed_at"), [("boot-1", 5.0), ("boot-0", 1000.0)])
def test_a_cooling_number_keeps_its_time_in_this_boot_and_begins_anew_in_another(boot: str, freed_at: float) -> None:
    waiting = Cooling(61999, mapping().owner, 5.0)
    found = decided(pod("web-1"), service(), on=observed(state=State(boot=boot, cooling=(waiting,))))
    assert found.next_state.cooling == (waiting._replace(freed_at=freed_at),)
    assert found.next_state.boot == "boot-1"


def test_the_cluster_is_remembered_though_a_snapshot_does_not_say_which_it_is() -> None:
    known = observed(state=State(cluster="uid-kubernetes"))
    assert decide(cluster(node(), identity=None), known, SETTINGS).next_state.cluster == "uid-kubernetes"


def test_the_state_while_rules_are_written_vouches_for_no_annotation(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(pod(), service())
    world.apply()
    states: list[State] = []
    save = world.node.save

    def saved(state: State, before: str) -> str:
        states.append(state)
        return save(state, before)

    monkeypatch.setattr(world.node, "save", saved)
    world.pods(pod(), pod("web-1", ["10.244.3.18"]))
    world.apply()
    assert [(state.writing, sorted(state.annotations)) for state in states[:2]] == [
        (True, []),
        (False, ["shop/web-0", "shop/web-1"]),
    ]
