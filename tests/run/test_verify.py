"""Rule, hold and annotation of every mapping, each checked separately."""

import json
from dataclasses import replace

import pytest
from seams import EMPTY, FakeCluster, FakeNode
from worlds import NODE, cluster, mapping, node, pod, service

from nplconf.model import ContainerPort
from nplconf.run.reconcile import apply, apply_plan, review, review_plan
from nplconf.run.verify import Fact, Row, Verified, verify
from nplconf.settings import Settings

SETTINGS = Settings(node=NODE)


class World:
    """A node that one apply brought in order."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(cluster(node(), pod(), service()), [])
        self.node = FakeNode([])
        apply(self.cluster, self.node, SETTINGS)

    def look(self, *, no_hold: bool = False) -> Verified:
        seen = review(self.cluster, self.node, SETTINGS)
        return verify(seen.decision, seen.observed, seen.pods, no_hold=no_hold)

    def facts(self) -> list[tuple[str, str, str]]:
        return [(row.rule, row.hold, row.annotation) for row in self.look().rows]

    def annotate(self, text: str | None) -> None:
        self.cluster.state = replace(
            self.cluster.state, pods=tuple(replace(p, annotation=text) for p in self.cluster.state.pods)
        )


@pytest.fixture
def world() -> World:
    return World()


def test_after_an_apply_all_three_agree(world: World) -> None:
    assert world.facts() == [("ok", "ok", "ok")]
    assert world.look().ok


def test_a_lost_rule_is_missing(world: World) -> None:
    world.node.tables["IPv4"] = EMPTY
    assert world.facts() == [("missing", "ok", "ok")]


def test_a_rule_that_no_jump_leads_to_is_wrong(world: World) -> None:
    table = world.node.tables["IPv4"]
    world.node.tables["IPv4"] = replace(table, bases=EMPTY.bases)
    found = world.look()
    assert [row.rule for row in found.rows] == ["wrong"]
    assert {f.kind for f in found.findings} == {"jumps"}


def test_a_dead_daemon_holds_nothing(world: World) -> None:
    world.node.held = None
    assert world.facts() == [("ok", "missing", "ok")]


def test_with_no_hold_the_hold_state_is_not_checked(world: World) -> None:
    world.node.held = None
    assert [row.hold for row in world.look(no_hold=True).rows] == ["na"]


def test_a_removed_annotation_is_missing(world: World) -> None:
    world.annotate(None)
    assert world.facts() == [("ok", "ok", "missing")]


def test_an_annotation_with_another_number_is_wrong(world: World) -> None:
    entries = json.loads(world.cluster.annotation() or "")
    world.annotate(json.dumps([entries[0] | {"nodePort": 61999}]))
    assert world.facts() == [("ok", "ok", "wrong")]
    assert world.look().findings == ()


def test_an_entry_that_belongs_to_no_mapping_is_extra(world: World) -> None:
    entries = json.loads(world.cluster.annotation() or "")
    world.annotate(json.dumps([*entries, entries[0] | {"podPort": 9999}]))
    assert sorted(world.facts()) == [("na", "na", "extra"), ("ok", "ok", "ok")]


def test_the_right_entries_in_a_wrong_form_are_a_finding(world: World) -> None:
    world.annotate(f" {world.cluster.annotation()}")
    found = world.look()
    assert [f.kind for f in found.findings] == ["annotation"]
    assert not found.ok


def test_a_rule_that_is_not_wanted_any_more_is_extra(world: World) -> None:
    world.cluster.state = replace(world.cluster.state, services=())
    assert world.facts() == [("extra", "ok", "extra")]


def test_a_host_port_is_the_cnis_rule_and_hold(world: World) -> None:
    with_port = pod(ports=[ContainerPort(8080, host_port=4001)])
    world.cluster.state = replace(world.cluster.state, pods=(with_port,))
    apply(world.cluster, world.node, SETTINGS)
    assert world.facts() == [("na", "na", "ok")]


def test_leftovers_in_the_other_backend_are_a_finding(world: World) -> None:
    world.node.other = {"IPv4": EMPTY}
    assert [f.kind for f in world.look().findings] == ["backend"]


def test_a_mapping_whose_rule_is_at_another_number_is_wrong(world: World) -> None:
    (row,) = world.look().rows
    world.node.taken = (row.mapping.node_port,)
    (moved,) = world.look().rows
    assert (moved.rule, moved.annotation) == ("wrong", "wrong")
    assert moved.mapping.node_port != row.mapping.node_port


def test_an_entry_for_another_port_of_the_pod_does_not_make_one_wrong(world: World) -> None:
    entries = json.loads(world.cluster.annotation() or "")
    world.annotate(json.dumps([entries[0] | {"podPort": 9999}]))
    extra, own = sorted(world.look().rows, key=lambda row: row.rule == "ok")
    assert (own.annotation, extra.annotation) == ("missing", "extra")
    assert extra.mapping.pod_ip == ""


def test_entries_that_claim_one_number_are_reported_in_the_order_of_their_ports(world: World) -> None:
    entries = json.loads(world.cluster.annotation() or "")
    claims = [entries[0] | {"podPort": port, "nodePort": 61000} for port in range(9, 0, -1)]
    world.annotate(json.dumps([*entries, *claims]))
    assert [row.mapping.pod_port for row in world.look().rows[:9]] == list(range(1, 10))


def test_a_rule_that_is_not_wanted_and_not_published_is_extra_alone(world: World) -> None:
    world.annotate(None)
    world.cluster.state = replace(world.cluster.state, services=())
    assert world.facts() == [("extra", "ok", "na")]


def test_a_pod_that_is_not_in_the_snapshot_counts_as_unannotated(world: World) -> None:
    seen = review(world.cluster, world.node, SETTINGS)
    (row,) = verify(seen.decision, seen.observed, (), no_hold=False).rows
    assert row.annotation == "missing"


def test_rows_are_sorted_by_number_whatever_they_are(world: World) -> None:
    entries = json.loads(world.cluster.annotation() or "")
    world.annotate(json.dumps([entries[0] | {"podPort": 9999, "nodePort": 61000}, *entries]))
    numbers = [row.mapping.node_port for row in world.look().rows]
    assert numbers == [61000, entries[0]["nodePort"]]


@pytest.mark.parametrize(
    ("facts", "ok"),
    [
        (("ok", "ok", "ok"), True),
        (("ok", "na", "ok"), True),
        (("na", "na", "ok"), True),
        (("missing", "ok", "ok"), False),
        (("ok", "missing", "na"), False),
        (("ok", "ok", "extra"), False),
    ],
)
def test_a_node_is_right_when_no_row_needs_a_fix(facts: tuple[Fact, Fact, Fact], *, ok: bool) -> None:
    row = Row(mapping(), *facts)
    assert row.ok is Verified((row,), ()).ok is ok
    assert Verified((Row(mapping(), "ok", "ok", "ok"), row), ()).ok is ok
    assert not Verified((row,), (), comparable=False).ok


def test_without_a_cluster_the_annotations_are_unknown(world: World) -> None:
    plan = world.node.load().state.plan
    assert plan
    apply_plan(world.node, SETTINGS, plan)
    seen = review_plan(world.node, SETTINGS, plan)
    found = verify(seen.decision, seen.observed, seen.pods, no_hold=False)
    assert [(row.rule, row.hold, row.annotation) for row in found.rows] == [("ok", "ok", "na")]
    assert found.ok
