"""The end of one run: nothing of it outlives its time, and when it is asked to end it does so between two steps.

Every step has a deadline of its own for what may hang (a child process, the API server); `RUN.left` makes none of them
longer than the rest of the run. When the time is over each further step fails at once, by name, as it does when what it
needs is gone.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

from nplconf.errors import StoppedError

SECONDS = 50.0
"""For all of a run, waiting for the lock of another one included; nplconf.service ends it after 60."""
LAST = 2.0
"""Seconds for what is left to be done once the run was asked to end."""


@dataclass(slots=True)
class Run:
    """The run that this process is. until: monotonic seconds. writing: it has begun to change something."""

    until: float = inf
    stopped: bool = False
    writing: bool = False

    @contextmanager
    def limited(self) -> Iterator[None]:
        """What is done meanwhile is the run; SIGTERM is heard, too."""
        self.until, self.stopped, self.writing = time.monotonic() + SECONDS, False, False
        before, told = signal.signal(signal.SIGTERM, lambda *_: self.stop()), sys.unraisablehook
        sys.unraisablehook = lambda found: _told(found, told)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
            sys.unraisablehook = told
            self.until = inf

    def left(self, wanted: float) -> float:
        """Seconds for something that would like so many."""
        return max(0.0, min(wanted, self.until - time.monotonic()))

    def stop(self) -> None:
        """End soon: at once as long as nothing has been changed, else before the next step. Raises StoppedError."""
        self.stopped = True
        self.until = min(self.until, time.monotonic() + LAST)
        if not self.writing:
            raise StoppedError("asked to end (SIGTERM); nothing was changed")

    def step(self) -> None:
        """A step that changes something begins. Raises StoppedError where the run was asked to end."""
        self.writing = True
        if self.stopped:
            raise StoppedError("asked to end (SIGTERM) between two steps; the next run goes on")


def _told(found: "sys.UnraisableHookArgs", otherwise: Callable[["sys.UnraisableHookArgs"], object]) -> None:
    """A request to end that comes in the midst of a destructor is lost there, without a word: `step` raises it anew."""
    if not isinstance(found.exc_value, StoppedError):
        otherwise(found)


RUN = Run()
