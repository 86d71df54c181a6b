"""The deadline of a run, and its early end."""

import signal
import sys
import threading
import time

import pytest

from nplconf import deadline
from nplconf.deadline import Run, current, ended_by_sigterm, limited
from nplconf.errors import StoppedError, UnavailableError
from nplconf.node import command


def test_without_a_run_everything_has_the_time_it_wants() -> None:
    assert Run().left(20.0) == 20.0
    Run().step()


def test_nothing_has_more_time_than_the_run_has_left() -> None:
    with limited(5.0) as run:
        assert current() is run
        assert 4.0 < run.left(20.0) <= 5.0
        assert run.left(1.0) == 1.0
    assert current().left(20.0) == 20.0


def test_two_runs_of_one_process_have_deadlines_of_their_own() -> None:
    with limited(0.0):
        assert current().left(1.0) == 0.0
        with limited(5.0):
            assert current().left(1.0) == 1.0
        assert current().left(1.0) == 0.0


def test_another_thread_is_not_part_of_the_run() -> None:
    seen: list[float] = []
    with limited(0.0):
        thread = threading.Thread(target=lambda: seen.append(current().left(1.0)))
        thread.start()
        thread.join()
    assert seen == [1.0]


def test_when_the_time_is_over_no_child_is_started() -> None:
    with limited(0.0), pytest.raises(UnavailableError, match="the time of this run is over"):
        command.run("true", deadline=5.0)


def test_a_child_that_hangs_has_the_rest_of_the_run_at_most() -> None:
    began = time.monotonic()
    with limited(0.3), pytest.raises(UnavailableError, match="no answer"):
        command.run("sleep", "60", deadline=20.0)
    assert time.monotonic() - began < 2


def test_a_run_that_has_changed_nothing_ends_at_once() -> None:
    with limited() as run, ended_by_sigterm(run), pytest.raises(StoppedError):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_run_that_changes_something_ends_before_its_next_step() -> None:
    with limited() as run, ended_by_sigterm(run):
        run.step()
        signal.raise_signal(signal.SIGTERM)
        assert 0 < run.left(20.0) <= deadline.LAST
        with pytest.raises(StoppedError):
            run.step()


def test_a_child_has_little_time_left_once_the_run_is_asked_to_end() -> None:
    began = time.monotonic()
    with limited(last=0.2) as run:
        run.step()
        threading.Timer(0.2, run.stop).start()
        with pytest.raises(UnavailableError, match="no answer"):
            command.run("sleep", "60", deadline=20.0)
    assert time.monotonic() - began < 2


def test_an_error_after_the_signal_is_its_consequence_as_long_as_nothing_was_changed() -> None:
    """An error of a signal handler makes `Condition.wait` release a lock that it does not have."""

    def ended(*, writing: bool) -> None:
        with limited() as run, ended_by_sigterm(run):
            run.writing = writing
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                threading.Lock().release()

    with pytest.raises(StoppedError, match="nothing was changed"):
        ended(writing=False)
    with pytest.raises(RuntimeError):
        ended(writing=True)


class Ends:
    """Asked to end, or broken, while it is taken down."""

    def __init__(self, error: type[Exception] | None = None) -> None:
        self.error = error

    def __del__(self) -> None:
        if self.error:
            raise self.error
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_during_a_destructor_ends_the_run_at_the_next_step_without_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: reported.append(found.exc_type))
    with limited() as run, ended_by_sigterm(run):
        Ends()
        with pytest.raises(StoppedError):
            run.step()
        assert reported == []
        Ends(ValueError)
        assert reported == [ValueError], "what is really wrong is told as ever"
    Ends(StoppedError)
    assert reported == [ValueError, StoppedError], "outside of a run nobody asks it to end"
