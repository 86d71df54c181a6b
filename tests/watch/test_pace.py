"""When a run begins, and how nodes return after a failure of their API server."""

from collections import Counter
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.watch import pace


def began(events: list[float]) -> list[float]:
    """The times of the runs that events at these times make necessary."""
    runs = [-inf]
    pending = None
    for at in sorted(events):
        if pending and at > (due := pending.due(pace.AT_ONCE, runs[-1])):
            runs.append(due)
            pending = None
        pending = pace.noticed(pending, at)
    return [*runs[1:], pending.due(pace.AT_ONCE, runs[-1])] if pending else runs[1:]


def test_an_event_after_a_pause_is_not_delayed() -> None:
    assert began([1.0, 2.0]) == [1.0, 2.0]


def test_events_soon_after_a_run_wait_for_a_moment_of_quiet() -> None:
    quiet = pace.AT_ONCE.quiet
    assert began([1.0, 1.01, 1.01 + quiet / 2]) == [1.0, 1.01 + quiet / 2 + quiet]


def test_ten_thousand_events_are_a_handful_of_runs() -> None:
    storm = [i * 0.00002 for i in range(10_000)]
    assert len(began(storm)) <= 0.2 / pace.AT_ONCE.latest + 2


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50))
def test_no_event_waits_longer_than_the_bound(events: list[float]) -> None:
    runs = began(events)
    for at in events:
        assert any(at <= run <= at + pace.AT_ONCE.latest + 1e-9 for run in runs)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50))
def test_a_reload_waits_for_quiet_in_any_case(events: list[float]) -> None:
    pending = None
    for at in sorted(events):
        pending = pace.noticed(pending, at)
    assert pending is not None
    waited = pending.due(pace.FOR_RELOADS) - pending.last
    assert waited == pytest.approx(pace.FOR_RELOADS.quiet) or pending.due(pace.FOR_RELOADS) <= pending.first + 0.25


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=50))
def test_an_event_that_is_not_urgent_delays_no_other_and_has_a_bound_of_its_own(
    events: list[tuple[float, bool]],
) -> None:
    longest = {True: pace.AT_ONCE.latest, False: pace.AT_ONCE.not_urgent + pace.AT_ONCE.latest}
    pending, ran = None, -inf
    waiting: list[tuple[float, bool]] = []
    for at, urgent in sorted(events):
        if pending and at > (due := pending.due(pace.AT_ONCE, ran)):
            assert all(due <= came + longest[was_urgent] for came, was_urgent in waiting)
            pending, waiting, ran = None, [], due
        pending = pace.noticed(pending, at, urgent=urgent)
        waiting.append((at, urgent))
        if urgent:
            assert pending.due(pace.AT_ONCE, ran) <= at + pace.AT_ONCE.quiet


@pytest.mark.parametrize("debounce", [pace.AT_ONCE, pace.FOR_RELOADS])
def test_an_event_that_is_not_urgent_makes_a_run_due_without_any_other(debounce: pace.Debounce) -> None:
    assert pace.noticed(None, 1.0, urgent=False).due(debounce) == 1.25


def test_nodes_that_start_together_resync_apart() -> None:
    assert pace.next_resync(0, 30, 0.0) == 27
    assert pace.next_resync(0, 30, 1.0) == 33


def test_a_backoff_doubles_up_to_its_bound_and_is_never_nothing() -> None:
    assert [pace.backoff(n, 1.0) for n in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert pace.backoff(0, 0.0) == 0.25
    assert pace.backoff(10_000, 1.0) == pace.LAST_BACKOFF


def test_jitter_divides_the_peak_of_a_fleet_that_reconnects() -> None:
    """5,000 nodes lose the API server at once; it answers again after a minute."""
    import random

    dice = random.Random(1).random

    def attempts(roll: float | None) -> list[float]:
        at, failures = 0.0, 0
        while at < 60:
            at += pace.backoff(failures, dice() if roll is None else roll)
            failures += 1
        return [at]

    jittered = Counter(int(at) for _ in range(5000) for at in attempts(None))
    together = Counter(int(at) for _ in range(5000) for at in attempts(1.0))
    assert max(together.values()) == 5000
    assert max(jittered.values()) < 1000
