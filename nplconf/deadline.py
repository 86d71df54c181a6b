"""The deadline of a run: no step outlives it, and a run that must stop ends between two steps.

Every step that may hang (a child process, the API server) has a timeout. `current().left` shortens it to the rest of
the run. After the deadline each further step fails at once, by name.

The run is a context variable, not a global: a service carries out one run after another, each with its own deadline,
while other threads have none.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf

from nplconf.errors import StoppedError

SECONDS = 50.0
"""For a whole run, including the wait for the lock of another one. nplconf.service ends it after 60."""
LAST = 2.0
"""Seconds for the current step after the run must stop."""
LOOK = 0.1
"""Seconds between two checks, in long waits, whether the run must stop."""
UNCHANGED = "asked to end (SIGTERM); nothing was changed"


@dataclass(slots=True)
class Run:
    """One run.

    Attributes:
        until: The deadline in seconds of the monotonic clock. `stop` brings it forward, so waits check it
            repeatedly.
        stopped: The run must stop.
        writing: The run has begun to change something.
        last: Seconds for the current step after `stop`.
    """

    until: float = inf
    stopped: bool = False
    writing: bool = False
    last: float = LAST

    def left(self, wanted: float) -> float:
        """Return the seconds that a step with this timeout may take."""
        return max(0.0, min(wanted, self.until - time.monotonic()))

    def stop(self) -> None:
        """Stop at once if nothing has been changed, else before the next step. Raises StoppedError."""
        self.stopped = True
        self.until = min(self.until, time.monotonic() + self.last)
        if not self.writing:
            raise StoppedError(UNCHANGED)

    def step(self) -> None:
        """Begin a step that changes something. Raises StoppedError if the run must stop."""
        self.writing = True
        if self.stopped:
            raise StoppedError("asked to end (SIGTERM) between two steps; the next run goes on")


_UNLIMITED = Run()
_CURRENT: ContextVar[Run] = ContextVar("run", default=_UNLIMITED)


def current() -> Run:
    """Return the current run; outside of one, a run without a deadline."""
    return _CURRENT.get()


@contextmanager
def limited(seconds: float | None = None, last: float = LAST) -> Iterator[Run]:
    """Run the body with a deadline.

    Args:
        seconds: None for `SECONDS`.
        last: See `Run`.
    """
    run = Run(time.monotonic() + (SECONDS if seconds is None else seconds), last=last)
    token = _CURRENT.set(run)
    try:
        yield run
    finally:
        _CURRENT.reset(token)


@contextmanager
def ended_by_sigterm(run: Run) -> Iterator[None]:
    """Let SIGTERM stop this run while the body is executed.

    Raises:
        StoppedError: The run was stopped before it changed something. It replaces any other error after the signal: one
            that is raised between two instructions of a library, such as `Condition.wait`, can make that library fail.
    """
    handler, hook = signal.signal(signal.SIGTERM, lambda *_: run.stop()), sys.unraisablehook
    sys.unraisablehook = lambda found: _report(found, hook)
    try:
        yield
    except Exception as err:
        if run.stopped and not run.writing:
            raise StoppedError(UNCHANGED) from err
        raise
    finally:
        signal.signal(signal.SIGTERM, handler)
        sys.unraisablehook = hook


def _report(found: "sys.UnraisableHookArgs", otherwise: Callable[["sys.UnraisableHookArgs"], object]) -> None:
    """Ignore a StoppedError in a destructor: Python drops it there, and `step` raises it again."""
    if not isinstance(found.exc_value, StoppedError):
        otherwise(found)
