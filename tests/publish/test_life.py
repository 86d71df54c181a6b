"""The life cycle of a mapping, state by state."""

import itertools
from dataclasses import replace
from typing import Literal

import pytest
from worlds import mapping, pod

from nplconf.publish.life import MappingFacts, State, Terms, asked_for, is_listed, name, next_end, state, unasked, waits

RUNS = pod()
DELETED = pod(terminating=True)
GONE = [None, pod(phase="Succeeded"), pod(phase="Failed"), pod(terminating=True, containers_ended=True)]
ROW = mapping()


@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize("asked", [True, False])
def test_nothing_leads_to_a_pod_that_has_ended(gone: None, asked: bool) -> None:  # noqa: FBT001
    assert state(MappingFacts(gone, asked), Terms(linger=60), 0) == "ended"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (MappingFacts(RUNS, asked=True, there=False), "wanted"),
        (MappingFacts(RUNS, asked=True), "published"),
        (MappingFacts(DELETED, asked=True), "draining"),
        (MappingFacts(DELETED, asked=False), "draining"),
        (MappingFacts(DELETED, asked=False, denied=True), "ended"),
        (MappingFacts(RUNS, asked=False, since=90), "lingering"),
        (MappingFacts(RUNS, asked=False, since=70), "ended"),
        (MappingFacts(RUNS, asked=False, since=90, denied=True), "ended"),
    ],
)
def test_each_state(facts: MappingFacts, expected: State) -> None:
    assert state(facts, Terms(linger=30), 100) == expected


def test_a_pod_is_published_the_first_time_its_containers_are_ready_and_stays_so() -> None:
    terms = Terms(publish_when="containers-ready")
    assert waits(RUNS, terms)
    assert state(MappingFacts(RUNS, asked=True), terms, 0) == "in-place"
    assert not waits(replace(RUNS, containers_ready=True), terms)
    assert not waits(replace(RUNS, annotation="[]"), terms)
    assert not waits(RUNS, Terms())


@pytest.mark.parametrize("when", ["terminating", "gone"])
def test_a_draining_mapping_is_listed_as_long_as_the_administrator_says(when: Literal["terminating", "gone"]) -> None:
    assert is_listed("draining", Terms(when), asked=True) == (when == "gone")
    assert not is_listed("draining", Terms(when), asked=False)


def test_a_live_pod_and_its_rule_are_one_by_uid_and_address() -> None:
    found = unasked([(ROW, False)], [DELETED], {}, Terms(), 5)
    assert found.states == {ROW: "draining"}
    for other in (pod(uid="new", terminating=True), pod(ips=["10.244.3.99"], terminating=True)):
        assert unasked([(ROW, False)], [other], {}, Terms(), 5).states == {}


def test_lingering_ends_at_its_time_whatever_the_clock_did() -> None:
    terms = Terms(linger=30)
    first = unasked([(ROW, False)], [RUNS], {}, terms, 100)
    assert (first.states, first.since) == ({ROW: "lingering"}, {name(ROW): 100})
    assert next_end(first.since, terms, 110) == 20
    assert unasked([(ROW, False)], [RUNS], first.since, terms, 129).since == first.since
    assert unasked([(ROW, False)], [RUNS], first.since, terms, 130).states == {}
    # a time in the future would otherwise keep the rule until then
    assert unasked([(ROW, False)], [RUNS], {name(ROW): 10_000}, terms, 100).since == {name(ROW): 100}
    assert next_end({}, terms, 0) is None


def test_pods_in_the_usual_state_are_not_stored() -> None:
    assert asked_for([ROW], [RUNS], Terms(), 0) == {}
    assert asked_for([ROW], [DELETED], Terms(), 0) == {ROW: "draining"}


def test_a_listed_mapping_always_has_a_rule() -> None:
    pods = [*GONE, RUNS, DELETED, replace(RUNS, annotation="[]"), replace(RUNS, containers_ready=True)]
    flags = [True, False]
    for one, asked, there, denied, when in itertools.product(pods, flags, flags, flags, ("terminating", "gone")):
        terms = Terms("gone" if when == "gone" else "terminating", linger=10)
        found = state(MappingFacts(one, asked, there, denied, 0), terms, 5)
        assert not (is_listed(found, terms, asked=asked) and found in ("ended", "wanted"))
