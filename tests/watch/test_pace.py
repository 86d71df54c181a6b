"""When a run begins, and how nodes return after a failure of their API server."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from nplconf.watch import pace


def began(events: list[float]) -> list[float]:
    """The times of the runs that events at these times make necessary."""
    runs: list[float] = []
    pending = None
    for at in sorted(events):
        if pending and at >= pending.due(pace.AT_ONCE):
            runs.append(pending.due(pace.AT_ONCE))
            pending = None
        pending = pace.noticed(pending, at)
    return [*runs, pending.due(pace.AT_ONCE)] if pending else runs


def test_one_event_waits_for_a_moment_of_quiet() -> None:
    assert began([1.0]) == [1.0 + pace.AT_ONCE.quiet]


def test_ten_thousand_events_are_a_handful_of_runs() -> None:
    storm = [i * 0.00002 for i in range(10_000)]
    assert len(began(storm)) <= 0.2 / pace.AT_ONCE.latest + 1


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50))
def test_no_event_waits_longer_than_the_bound(events: list[float]) -> None:
    runs = began(events)
    for at in events:
        assert any(at <= run <= at + pace.AT_ONCE.latest + 1e-9 for run in runs)


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=50))
def test_an_event_that_is_not_urgent_delays_no_other_and_waits_twice_the_bound_at_most(
    events: list[tuple[float, bool]],
) -> None:
    pending = None
    waiting: list[tuple[float, bool]] = []
    for at, urgent in sorted(events):
        if pending and at >= (due := pending.due(pace.AT_ONCE)):
            assert all(due <= came + pace.AT_ONCE.latest * (1 if was_urgent else 2) for came, was_urgent in waiting)
            pending, waiting = None, []
        pending = pace.noticed(pending, at, urgent=urgent)
        waiting.append((at, urgent))
        if urgent:
            assert pending.due(pace.AT_ONCE) <= at + pace.AT_ONCE.quiet


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
