"""AKO and F5 CIS, with their latency, in virtual time: no pool is empty while a Pod is ready, no member refuses.

The settings are those of the page on load balancers. N is the time between two runs of nplconf, L the latency.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from inmemory import SETTINGS

from loadbalancers import models
from loadbalancers.events import MODES, STORIES, Mode, Story, rolling
from loadbalancers.losses import Lag, Loss, judge, worst
from loadbalancers.podlife import NOTICE, PORT, RESTART, Shape
from loadbalancers.readers import F5, Ako, OldAko, Reader
from loadbalancers.simulation import DOWN, START, Played, Simulation, finish, play, simulate
from nplconf.settings import Settings

PAGE = Path(__file__).parents[2] / "examples/loadbalancers/README.md"
RUN = 0.2
"""Seconds that a run takes, with the event before it."""
STORY = {story.name: story for story in STORIES}
MODE = {mode.name: models.in_virtual_time(mode) for mode in MODES}
UNAVOIDABLE = ("Pod crash", "Pod deleted, no preStop")
LATENCIES: tuple[tuple[Callable[[], Reader], float], ...] = (
    *((Ako, seconds) for seconds in (0.0, 2.0)),
    (OldAko, 2.0),
    *((F5, seconds) for seconds in (0.0, 10.0)),
)
every_reader = pytest.mark.parametrize(
    ("reader", "latency"), LATENCIES, ids=[f"{reader.__name__}-{latency:.0f}" for reader, latency in LATENCIES]
)


def between_runs(mode: Mode) -> float:
    """N, and what a run takes."""
    return (mode.period or 0.0) + RUN


def formula(reader: Callable[[], Reader], latency: float, mode: Mode, down: float = 0.0) -> Shape:
    """Return the shortest times that the page allows. down: how long nplconf is down."""
    waits = latency + down + (RUN if reader is Ako else between_runs(mode))
    min_ready = latency if mode.gate else latency + down + between_runs(mode)
    return Shape(gate=mode.gate, min_ready=min_ready, pre_stop=waits, grace=waits + 5)


def options(reader: Callable[[], Reader]) -> Settings:
    return models.settings(reader, gate=True)


def lags(latency: float) -> Iterator[Lag]:
    """Yield how a load balancer may handle changes: in order, or one kind at once and the other late."""
    yield from (Lag(latency, latency), Lag(latency, 0), Lag(0, latency))


def losses(plays: list[Played], reader: Callable[[], Reader], latency: float) -> Loss:
    return worst(judge(played, reader, lag) for played in plays for lag in lags(latency))


def replaces_the_only_pod(story: Story) -> bool:
    """Return whether no Pod is left for a moment, so that a pool can only follow with the latency."""
    return story.replicas == 1 and (story.kind in ("drain", "delete") or not story.surge)


# --- the right settings ----------------------------------------------------------------------------------------------


@every_reader
@pytest.mark.parametrize("mode", ["watch, gate", "timer, gate"])
@pytest.mark.parametrize("name", [name for name in STORY if name not in UNAVOIDABLE])
def test_no_story_loses_a_request(name: str, mode: str, reader: Callable[[], Reader], latency: float) -> None:
    story, way = STORY[name], MODE[mode]
    shape = formula(reader, latency, way, DOWN if story.kind == "restart" else 0.0)
    plays = [play(story, way, shape, options(reader), phase) for phase in models.phases(way, 1 + (story.replicas < 10))]
    found = losses(plays, reader, latency)
    if replaces_the_only_pod(story):
        assert found.empty <= latency + 1e-6
        assert found.dead == pytest.approx(0, abs=1e-6)
    else:
        assert found == pytest.approx(Loss(), abs=1e-6)


@every_reader
@pytest.mark.parametrize("mode", ["watch", "timer"])
@pytest.mark.parametrize("surge", [0, 1])
def test_a_longer_min_ready_seconds_replaces_the_gate(
    surge: int, mode: str, reader: Callable[[], Reader], latency: float
) -> None:
    shape = formula(reader, latency, MODE[mode])
    plays = [play(rolling(2, surge), MODE[mode], shape, options(reader), p) for p in models.phases(MODE[mode])]
    assert losses(plays, reader, latency) == pytest.approx(Loss(), abs=1e-6)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    kind = draw(st.sampled_from(["rolling", "scale-up", "scale-down", "drain", "delete", "restart"]))
    replicas = draw(st.integers(1, 5))
    surge = draw(st.integers(0, 3))
    return Story(kind, kind, replicas, surge)  # type: ignore[arg-type]


@settings(max_examples=60)
@given(
    story=stories(),
    mode=st.sampled_from([MODE["watch, gate"], MODE["timer, gate"]]),
    reader=st.sampled_from([Ako, OldAko, F5]),
    latency=st.floats(0, 20),
    start=st.floats(0, 30),
    phase=st.floats(0, models.PERIOD),
    period=st.floats(1, 30),
)
def test_no_story_of_this_kind_loses_a_request(
    story: Story, mode: Mode, reader: Callable[[], Reader], latency: float, start: float, phase: float, period: float
) -> None:
    way = mode if mode.period is None else mode._replace(period=period)
    shape = formula(reader, latency, way, DOWN if story.kind == "restart" else 0.0)._replace(start=start)
    played = play(story, way, shape, options(reader), phase)
    found = losses([played], reader, latency)
    assert found.dead == pytest.approx(0, abs=1e-6)
    assert found.empty <= (latency if replaces_the_only_pod(story) else 0) + 1e-6


# --- what no setting of nplconf can prevent --------------------------------------------------------------------------


@every_reader
@pytest.mark.parametrize("mode", ["watch, gate", "timer, gate"])
def test_a_crash_is_seen_by_a_reader_of_readiness_alone(
    mode: str, reader: Callable[[], Reader], latency: float
) -> None:
    played = play(STORY["Pod crash"], MODE[mode], Shape(), options(reader))
    found = judge(played, reader, Lag(latency, latency))
    silent = NOTICE + RESTART + Shape().start
    assert found.empty == 0
    assert found.dead == pytest.approx(min(silent, NOTICE + latency) if reader is Ako else silent, abs=0.5)


@every_reader
@pytest.mark.parametrize("mode", ["watch, gate", "timer, gate"])
def test_without_pre_stop_a_member_is_dead_until_the_reader_drops_it(
    mode: str, reader: Callable[[], Reader], latency: float
) -> None:
    story = STORY["Pod deleted, no preStop"]
    plays = [play(story, MODE[mode], Shape(pre_stop=0), options(reader), p) for p in models.phases(MODE[mode])]
    found = worst(judge(played, reader, Lag(latency, latency)) for played in plays)
    ends = Shape().finish + NOTICE + 0.2  # the deletion of the Pod's object tells every reader
    assert found.empty == 0
    assert found.dead <= latency + (0 if reader is Ako else min(between_runs(MODE[mode]), ends)) + 1e-6


# --- one of two Services ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["watch, gate", "timer, gate"])
def test_dropping_one_of_two_services_changes_neither_readiness_nor_the_other_port(mode: str) -> None:
    web, api = worlds.service("web", [(PORT, "TCP")]), worlds.service("api", [(9000, "TCP")])
    now = started(mode)
    now.use_services(web, api)
    now.run_until(START + 30)
    before = {pod.ref.name: (pod.condition, pod.ready) for pod in now.cluster.state.pods}
    assert all("9000" in (pod.annotation or "") for pod in now.cluster.state.pods)
    now.use_services(web)
    finish(now)
    frames = [frame for frame in now.frames if frame.at >= START]
    assert {ready for frame in frames for ready in (pod.ready for pod in frame.pods)} == {True}
    assert {pod.ref.name: (pod.condition, pod.ready) for pod in now.cluster.state.pods} == before
    assert not any("9000" in (pod.annotation or "") for pod in now.cluster.state.pods)
    for reader, latency in LATENCIES:
        assert losses([Played(tuple(now.frames), START, now.now)], reader, latency) == Loss()


def started(mode: str) -> Simulation:
    return simulate(rolling(2, 1), MODE[mode], Shape())


@pytest.mark.parametrize("mode", ["watch, gate", "timer, gate"])
def test_a_rule_that_lingers_for_the_latency_is_there_until_the_member_is_removed(mode: str) -> None:
    assert dead_after_the_service_is_dropped(replace(SETTINGS, linger=3), mode) == 0
    assert dead_after_the_service_is_dropped(SETTINGS, mode) > 1


# --- the models see faults -------------------------------------------------------------------------------------------


def lost(
    reader: Callable[[], Reader], lag: Lag, mode: Mode, shape: Shape, options: Settings = SETTINGS, story: str = ""
) -> Loss:
    chosen = STORY[story or "rolling update, 2 replicas, surge 1"]
    return worst(judge(play(chosen, mode, shape, options, p), reader, lag) for p in models.phases(mode))


def test_without_the_gate_a_rollout_by_timer_leaves_pools_empty() -> None:
    mode = MODE["timer"]
    for reader in (Ako, OldAko, F5):
        assert lost(reader, Lag(0, 0), mode, Shape(gate=False, min_ready=1, pre_stop=1)).empty > 1


def test_without_min_ready_seconds_a_reader_that_adds_late_has_an_empty_pool() -> None:
    shape = Shape(min_ready=0)
    story = "rolling update, 1 replica, surge 1"
    assert lost(Ako, Lag(2, 0), MODE["watch, gate"], shape, story=story).empty > 1
    assert lost(Ako, Lag(2, 0), MODE["watch, gate"], Shape(min_ready=2), story=story).empty == 0


def test_a_short_pre_stop_leaves_f5_dead_members() -> None:
    shape = Shape(pre_stop=10)
    assert lost(F5, Lag(10, 10), MODE["timer, gate"], shape, options(F5)).dead > 10
    assert lost(F5, Lag(10, 10), MODE["timer, gate"], Shape(pre_stop=24), options(F5)).dead == 0


def test_f5_takes_a_pod_before_it_serves_unless_it_is_published_later() -> None:
    mode = MODE["watch, gate"]
    assert lost(F5, Lag(0, 0), mode, Shape(start=5)).dead > 4
    assert lost(F5, Lag(0, 0), mode, Shape(start=5), options(F5)).dead == 0


def dead_after_the_service_is_dropped(options: Settings, mode: str = "watch, gate") -> float:
    now = simulate(rolling(2, 1), MODE[mode], Shape(), options)
    now.use_services()
    now.run_until(START + 120)
    return judge(Played(tuple(now.frames), START, now.now), Ako, Lag(2, 2)).dead


def test_ako_keeps_the_members_of_a_service_whose_annotation_key_is_removed() -> None:
    options = replace(SETTINGS, linger=60)
    assert dead_after_the_service_is_dropped(replace(options, withdraw_as="remove")) > 50
    assert dead_after_the_service_is_dropped(options) == 0


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rolling update, 1 replica, surge 1", "node drain, 2 replicas", "Pod crash"])
def test_the_page_has_the_rows_that_the_command_prints(name: str) -> None:
    page = PAGE.read_text()
    assert models.HEAD in page
    assert [row for row in models.rows([STORY[name]], MODES) if row not in page] == []


def test_the_page_has_a_row_for_each_story_and_mode() -> None:
    table = PAGE.read_text().split(models.HEAD)[1].split("\n\n")[0].splitlines()
    labels = [" | ".join(row.split(" | ")[:2]) for row in table]
    assert labels == [f"| {story.name} | {mode.name}" for story in STORIES for mode in MODES]
