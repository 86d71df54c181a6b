"""Rollouts and drains: complete runs with both stand-ins in memory."""

from dataclasses import replace
from typing import Any

import pytest
from inmemory import SETTINGS, World
from worlds import NODE, pod, service

from nplconf.model import Condition
from nplconf.output import data, html, markdown, metrics, table
from nplconf.run.decide import decide
from nplconf.run.decision import Bounds
from nplconf.run.reconcile import observe
from nplconf.run.verify import verify
from nplconf.settings import Settings

DELETED = pod(terminating=True)


def planned(world: World, settings: Settings = SETTINGS) -> dict[str, Any]:
    return data.plan(decide(world.cluster.state, observe(world.node), settings))


def delete(world: World, name: str = "web-0", **changes: Any) -> None:
    """The Pod gets a deletionTimestamp."""
    world.pods(
        *(replace(p, terminating=True, **changes) if p.ref.name == name else p for p in world.cluster.state.pods)
    )


def test_a_deleted_pod_is_withdrawn_at_once_and_its_rule_stays_until_it_has_ended() -> None:
    world = World(pod(), service())
    world.apply()
    (number,) = world.node.numbers()
    delete(world)
    found = planned(world)
    assert [(row["pod"]["name"], row["mapping"]["nodePort"]) for row in found["draining"]] == [("web-0", number)]
    assert [patch["annotation"] for patch in found["patches"]] == ["[]"]

    world.apply()

    assert (world.cluster.annotation(), world.node.numbers()) == ("[]", [number])
    assert not [entry for entry in world.journal if entry.startswith("write")]
    assert world.apply().patches == ()
    seen = observe(world.node)
    state = world.cluster.state
    assert verify(decide(state, seen, SETTINGS), seen, state.pods, no_hold=False).ok
    delete(world, containers_ended=True)
    world.apply()
    assert world.node.numbers() == []


@pytest.mark.parametrize("change", ["services", "labels"])
def test_a_draining_rule_stays_when_nothing_asks_for_it_any_more(change: str) -> None:
    world = World(pod(), service())
    world.apply()
    (number,) = world.node.numbers()
    delete(world)
    if change == "services":
        world.change(services=())
    else:
        delete(world, labels={})
    world.apply()
    assert (world.cluster.annotation(), world.node.numbers()) == ("[]", [number])
    world.pods()
    world.apply(replace(SETTINGS, allow_empty=True))
    assert world.node.numbers() == []


def test_a_deleted_pod_stays_published_where_the_administrator_wants_it() -> None:
    settings = replace(SETTINGS, withdraw_when="gone")
    world = World(pod(), service())
    world.apply(settings)
    delete(world)
    assert len(planned(world, settings)["draining"]) == 1
    world.apply(settings)
    assert world.entries()


def test_a_deleted_pod_gets_no_new_number() -> None:
    world = World(DELETED, service())
    result = world.apply()
    assert [row.reason for row in result.decision.plan.skipped] == ["terminating"]
    assert (world.node.numbers(), world.cluster.annotation()) == ([], None)


def test_a_reviewed_plan_gives_a_deleted_pod_no_new_number_and_takes_none_away() -> None:
    live = World(pod(), service())
    bounds = Bounds(live.apply().decision.plan)
    number = live.node.numbers()
    delete(live)
    live.apply(bounds=bounds)
    assert (live.cluster.annotation(), live.node.numbers()) == ("[]", number)
    late = World(DELETED, service())
    result = late.apply(bounds=bounds)
    assert (late.node.numbers(), result.exit_code) == ([], 0)
    assert [row.reason for row in result.decision.plan.skipped] == ["terminating"]


def test_a_rule_of_a_draining_pod_is_repaired() -> None:
    world = World(pod(), service())
    world.apply()
    numbers = world.node.numbers()
    delete(world)
    world.apply()
    world.node.tables["IPv4"] = world.node.tables["IPv6"]
    world.apply()
    assert world.node.numbers() == numbers


# --- lingering -------------------------------------------------------------------------------------------------------


def test_a_rule_that_nothing_asks_for_lingers() -> None:
    settings = replace(SETTINGS, linger=60)
    world = World(pod(), service())
    world.apply(settings)
    (number,) = world.node.numbers()
    world.change(services=())
    first = world.apply(settings)
    assert (world.cluster.annotation(), world.node.numbers()) == ("[]", [number])
    assert first.decision.next_end == 60
    world.node.clock += 59
    world.apply(settings)
    assert world.node.numbers() == [number]
    world.node.clock += 1
    world.apply(settings)
    assert world.node.numbers() == []
    assert world.node.state.unasked == {}


def test_a_lingering_port_is_given_to_no_other_pod() -> None:
    settings = Settings(node=NODE, linger=60, cool_down=0, port_range=replace(SETTINGS.port_range, last=61000))
    other = pod("web-1", ("10.244.3.18",), labels={"app": "other"})
    world = World(pod(), other, service())
    world.apply(settings)
    world.change(services=(service("other", selector={"app": "other"}),))
    result = world.apply(settings)
    assert [row.reason for row in result.decision.plan.skipped] == ["range-full"]
    world.node.clock += 60
    world.apply(settings)
    world.apply(settings)
    assert world.entries("web-1") == [(8080, 61000)]


def test_a_mapping_that_is_asked_for_again_has_its_number_at_once() -> None:
    settings = replace(SETTINGS, linger=60)
    world = World(pod(), service())
    world.apply(settings)
    before = world.entries()
    services = world.cluster.state.services
    world.change(services=())
    world.apply(settings)
    world.change(services=services)
    world.apply(settings)
    assert world.entries() == before
    assert not [entry for entry in world.journal if entry.startswith("write")]


def test_a_limit_sees_what_would_only_linger() -> None:
    settings = replace(SETTINGS, linger=60)
    world = World(*(pod(f"web-{i}", (f"10.244.3.{i + 1}",)) for i in range(12)), service())
    world.apply(settings)
    world.change(services=())
    assert world.apply(settings).exit_code == 4
    assert all(world.entries(f"web-{i}") for i in range(12))


# --- moves -----------------------------------------------------------------------------------------------------------


def test_a_mapping_that_moves_is_published_before_its_old_rule_goes() -> None:
    world = World(pod(), service())
    world.apply()
    (old,) = world.node.numbers()
    world.change(services=(service(), service("thief", enabled=False, selector={}, node_port=old)))

    result = world.apply()

    assert result.exit_code == 0
    ((_, new),) = world.entries()
    assert new != old
    assert world.node.numbers() == [new]
    steps = [entry for entry in world.journal if entry.split()[0] in ("write", "patch")]
    assert [step.split()[0] for step in steps] == ["write", "patch", "write"]
    assert f'"nodePort":{new}' in steps[1]


def test_a_move_whose_annotation_cannot_be_written_keeps_the_old_rule() -> None:
    world = World(pod(), service())
    world.apply()
    (old,) = world.node.numbers()
    world.change(services=(service(), service("thief", enabled=False, selector={}, node_port=old)))
    world.cluster.refuses = {"web-0"}
    assert world.apply().exit_code == 5
    assert old in world.node.numbers()
    world.cluster.refuses = set()
    assert world.apply().exit_code == 0
    ((_, new),) = world.entries()
    assert world.node.numbers() == [new]
    assert [entry.split()[0] for entry in world.journal if entry.split()[0] in ("write", "patch")] == ["patch", "write"]


# --- published when --------------------------------------------------------------------------------------------------


def test_a_pod_is_published_when_its_containers_are_ready_for_the_first_time() -> None:
    settings = replace(SETTINGS, publish_when="containers-ready")
    world = World(pod(), service())
    world.apply(settings)
    assert (world.cluster.annotation(), len(world.node.numbers())) == (None, 1)
    world.pods(replace(world.cluster.state.pods[0], containers_ready=True))
    world.apply(settings)
    assert world.entries()
    world.pods(replace(world.cluster.state.pods[0], containers_ready=False))
    world.apply(settings)
    assert world.entries()


# --- the gate --------------------------------------------------------------------------------------------------------


def reason(world: World, name: str = "web-0") -> tuple[str, str] | None:
    found = next(p.condition for p in world.cluster.state.pods if p.ref.name == name)
    return (found.status, found.reason) if found else None


def test_annotation_and_condition_come_in_one_patch_and_are_not_repeated() -> None:
    world = World(pod(gated=True), service())
    world.apply()
    assert len([entry for entry in world.journal if entry.startswith("patch")]) == 1
    assert (reason(world), bool(world.entries())) == (("True", "Published"), True)
    world.apply()
    assert world.journal == []


def test_a_number_that_is_not_available_keeps_the_gate_closed() -> None:
    settings = Settings(node=NODE, port_range=replace(SETTINGS.port_range, last=61000))
    world = World(*(pod(f"web-{i}", (f"10.244.3.{i + 1}",), gated=True) for i in range(2)), service())
    world.apply(settings)
    assert sorted(filter(None, (reason(world, f"web-{i}") for i in range(2)))) == [
        ("False", "RangeFull"),
        ("True", "Published"),
    ]


def test_a_rule_that_is_not_in_place_keeps_the_gate_closed_and_opens_it_later() -> None:
    world = World(pod(gated=True), service())
    world.node.refused = set(range(61000, 62001))
    world.apply()
    assert (reason(world), world.cluster.annotation()) == (("False", "Degraded"), None)
    world.node.refused = set()
    world.apply()
    assert reason(world) == ("True", "Published")


def test_an_outage_does_not_close_the_gate() -> None:
    world = World(pod(gated=True), service())
    world.apply()
    world.node.held = None
    world.apply()
    world.node.held, world.node.taken = SETTINGS.port_range, world.node.numbers()
    world.apply()
    assert reason(world) == ("True", "Published")


def test_dropping_one_of_two_services_changes_neither_readiness_nor_the_other_port() -> None:
    web, api = service("web"), service("api", [(9000, "TCP")])
    world = World(pod(gated=True), web, api)
    world.apply()
    before, condition = dict(world.entries()), world.cluster.state.pods[0].condition
    assert condition == Condition("True", "Published", condition.message if condition else "")
    world.change(services=(web,))
    result = world.apply()
    assert dict(world.entries()) == {8080: before[8080]}
    assert world.node.numbers() == [before[8080]]
    assert world.cluster.state.pods[0].condition == condition
    assert all(patch.condition is None for patch in result.patches)


# --- messages --------------------------------------------------------------------------------------------------------


def test_a_drain_is_counted_in_the_metrics() -> None:
    world = World(pod(), service())
    assert metrics.counted(world.apply()).mappings["draining"] == 0
    delete(world)
    assert metrics.counted(world.apply()).mappings["draining"] == 1


def test_a_drain_is_a_line_of_the_table_and_a_section_of_the_page() -> None:
    world = World(pod(), service())
    world.apply()
    delete(world)
    decision = decide(world.cluster.state, observe(world.node), SETTINGS)
    (line,) = table.draining(decision.draining)
    assert "draining" in line[1]
    assert "shop/web-0" in line[1]
    assert "Draining" in html.page(html.of_decision(decision, {}, {}))
    assert "Draining" in markdown.text(data.plan(decision))
