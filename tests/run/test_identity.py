"""The cluster that a node belongs to."""

from dataclasses import replace

import pytest
from inmemory import World, many
from worlds import cluster, node, plan, pod, service

from nplconf.model import Node
from nplconf.plan.state import State
from nplconf.run import identity
from nplconf.run.cleanup import clean
from nplconf.run.decision import Bounds

SETTLED = State(cluster="a", node_uid="uid-worker-1")
OTHER_NODE = replace(node(), uid="uid-other")


@pytest.mark.parametrize(
    ("found", "there", "other"),
    [
        ("a", node(), False),
        ("a", OTHER_NODE, False),
        ("b", node(), False),
        ("b", OTHER_NODE, True),
        ("b", replace(node(), uid=""), True),
        (None, OTHER_NODE, False),
    ],
)
def test_one_identity_that_is_unchanged_means_the_same_cluster(found: str | None, there: Node, *, other: bool) -> None:
    assert bool(identity.other_cluster(SETTLED, cluster(there, identity=found), there)) is other


def test_a_node_without_a_uid_is_no_witness() -> None:
    unnamed = replace(node(), uid="")
    assert identity.other_cluster(State(cluster="a", node_uid=""), cluster(unnamed, identity="b"), unnamed)
    assert identity.adopted(State(node_uid="known"), cluster(unnamed), unnamed).node_uid == "known"


def test_a_new_identity_is_adopted_and_the_old_one_remembered() -> None:
    state = SETTLED
    for number in range(20):
        state = identity.adopted(state, cluster(node(), identity=f"new-{number}"), node())
    assert state.cluster == "new-19"
    assert state.former_clusters == tuple(f"new-{number}" for number in range(11, 19))
    back = identity.adopted(state, cluster(node(), identity="new-12"), node())
    assert "new-12" not in back.former_clusters


@pytest.mark.parametrize(("of", "foreign"), [("a", False), ("before", False), ("b", True), (None, False)])
def test_a_plan_of_a_former_identity_counts(of: str | None, *, foreign: bool) -> None:
    state = replace(SETTLED, former_clusters=("before",))
    for asked in ("a", None):
        assert bool(identity.foreign_plan(state, replace(plan(), cluster=of), asked)) is foreign


# --- whole runs ------------------------------------------------------------------------------------------------------


def test_deleting_the_service_kubernetes_stops_no_node() -> None:
    world = World(*many(3), service())
    reviewed = world.apply().decision.plan
    world.change(identity="made-again")
    world.pods(*world.cluster.state.pods, pod("web-9", ("10.244.3.9",)))
    result = world.apply()
    assert result.exit_code == 0
    assert ["made-again" in warning for warning in result.warnings] == [True]
    assert world.entries("web-9")
    assert world.apply().warnings == ()
    assert world.apply(bounds=Bounds(reviewed)).exit_code == 0, "a plan that was rendered before counts, too"


def test_a_node_in_another_cluster_changes_nothing_until_it_is_cleaned() -> None:
    world = World(*many(3), service())
    world.apply()
    reported = world.entries("web-0")
    world.change(identity="another", nodes=(OTHER_NODE,))
    result = world.apply()
    assert result.exit_code == 4
    assert "nplconf cleanup" in result.decision.blocked.message  # type: ignore[union-attr]
    assert world.journal == []
    (failure,) = clean(world.node, world.cluster, world.settings)
    assert "another cluster (another)" in failure.message
    assert world.entries("web-0") == reported
    assert world.apply().exit_code == 0


def test_cleanup_takes_the_annotations_of_the_same_cluster_with_a_new_identity() -> None:
    world = World(pod(), service())
    world.apply()
    world.change(identity="made-again")
    assert clean(world.node, world.cluster, world.settings) == ()
    assert world.entries() == []
