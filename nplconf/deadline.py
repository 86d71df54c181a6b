"""The end of one run: nothing of it outlives its time, and a run that is asked to end does so between two steps.

Every step has a timeout of its own for what may hang (a child process, the API server). `current().left` makes none of
them longer than the rest of the run. When the time is over, each further step fails at once, by name.

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
"""For all of a run, including the wait for the lock of another one. nplconf.service ends it after 60."""
LAST = 2.0
"""Seconds for the step that is going on when the run is asked to end."""
LOOK = 0.1
"""Seconds after which whoever waits for something slow looks whether the run was asked to end."""


@dataclass(slots=True)
class Run:
    """One run.

    Attributes:
        until: monotonic seconds; brought forward when the run is asked to end, so whoever waits looks again.
        stopped: it was asked to end.
        writing: it has begun to change something.
        last: seconds for the step that is going on when it is asked to end.
    """

    until: float = inf
    stopped: bool = False
    writing: bool = False
    last: float = LAST

    def left(self, wanted: float) -> float:
        """Return the seconds that a step with this timeout may take."""
        return max(0.0, min(wanted, self.until - time.monotonic()))

    def stop(self) -> None:
        """End soon: at once as long as nothing has been changed, else before the next step. Raises StoppedError."""
        self.stopped = True
        self.until = min(self.until, time.monotonic() + self.last)
        if not self.writing:
            raise StoppedError("asked to end (SIGTERM); nothing was changed")

    def step(self) -> None:
        """Begin a step that changes something. Raises StoppedError where the run was asked to end."""
        self.writing = True
        if self.stopped:
            raise StoppedError("asked to end (SIGTERM) between two steps; the next run goes on")


_UNLIMITED = Run()
_CURRENT: ContextVar[Run] = ContextVar("run", default=_UNLIMITED)


def current() -> Run:
    """Return the run that this code is part of; outside of one, a run without a deadline."""
    return _CURRENT.get()


@contextmanager
def limited(seconds: float | None = None, last: float = LAST) -> Iterator[Run]:
    """Make the body a run that lasts at most so many seconds (default: SECONDS). last: see `Run`."""
    run = Run(time.monotonic() + (SECONDS if seconds is None else seconds), last=last)
    token = _CURRENT.set(run)
    try:
        yield run
    finally:
        _CURRENT.reset(token)


@contextmanager
def ended_by_sigterm(run: Run) -> Iterator[None]:
    """Let SIGTERM end this run while the body is executed."""
    handler, hook = signal.signal(signal.SIGTERM, lambda *_: run.stop()), sys.unraisablehook
    sys.unraisablehook = lambda found: _report(found, hook)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        sys.unraisablehook = hook


def _report(found: "sys.UnraisableHookArgs", otherwise: Callable[["sys.UnraisableHookArgs"], object]) -> None:
    """Drop a StoppedError that was raised inside a destructor: Python loses it there, and `step` raises it again."""
    if not isinstance(found.exc_value, StoppedError):
        otherwise(found)
