"""The loop of watch mode: wait until a run is due, run, report. It decides nothing about mappings."""

import gc
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from nplconf import deadline
from nplconf.deadline import Run
from nplconf.errors import StoppedError
from nplconf.hold.notify import notify
from nplconf.watch import pace
from nplconf.watch.hub import Cause, Hub

LIVENESS_SECONDS = 5.0
"""The loop notifies the watchdog at least this often while it waits."""


class Job(Protocol):
    """One run of watch mode, as the command makes it."""

    def __call__(self, causes: frozenset[Cause]) -> str:
        """Carry out one run and report it; one line about it, for the service manager. Raises StoppedError alone."""


class Stop:
    """SIGTERM: ends the wait at once, and a run before its next step. run: what is going on now."""

    def __init__(self) -> None:
        self.requested = False
        self.run = Run()

    def __call__(self, *_signal: object) -> None:
        """Handle the signal. Raises StoppedError where nothing is being changed."""
        self.requested = True
        self.run.stop()


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Handle SIGTERM and SIGINT while the body is executed."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(hub: Hub, job: Job, period: float, alive: Callable[[], None] = lambda: None) -> None:
    """Run whenever an event makes it necessary, and every period (seconds) in any case, until SIGTERM.

    Args:
        hub: says when a run is due.
        job: carries it out.
        period: between two full readings of the node.
        alive: called while the loop waits, and after each run.
    """
    with stoppable() as stop:
        try:
            _follow(hub, job, period, alive, stop)
        except StoppedError:
            notify("STOPPING=1")


def _follow(hub: Hub, job: Job, period: float, alive: Callable[[], None], stop: Stop) -> None:
    resync = time.monotonic()  # the first run begins as soon as it may
    started = False
    while not stop.requested:
        causes = hub.wait(min(resync, time.monotonic() + LIVENESS_SECONDS))
        now = time.monotonic()
        if now < resync:
            causes -= {"resync"}
        if causes:
            if "resync" in causes:
                resync = pace.next_resync(now, period, random.random())  # noqa: S311 nothing secret depends on it
            with deadline.limited() as run:
                stop.run = run
                status = job(causes)
            stop.run = Run()
            notify(f"STATUS={status}", *(() if started else ("READY=1",)))
            started = True
            if "resync" in causes:
                gc.collect()  # main switches the collector off; a resync is when there is time for it
        alive()
        notify("WATCHDOG=1")
