"""The loop of watch mode: wait until a run is due, run, report. It decides nothing about mappings."""

import gc
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from nplconf import deadline
from nplconf.deadline import Run
from nplconf.hold.notify import notify
from nplconf.watch import memory, pace
from nplconf.watch.hub import Cause, Hub

LIVENESS_SECONDS = 5.0
"""The loop notifies the watchdog at least this often while it waits."""
LAST_SECONDS = 0.5
"""How long a step of a run may go on after SIGTERM: the service ends within a second."""
FULL_COLLECTION = 100
"""At each so many resyncs the garbage collector looks at all objects and the caches are cleared, at the others at new
objects."""


class Job(Protocol):
    """The job that the loop carries out."""

    @property
    def period(self) -> float:
        """Seconds between two full readings of the node."""

    def run(self, causes: frozenset[Cause]) -> str:
        """Carry out one run and report it; one line about it, for the service manager. Raises StoppedError alone."""

    def alive(self) -> None:
        """Take a sign of life of the loop."""

    def clear_caches(self) -> None:
        """Drop what is kept only to save time: texts that were parsed, most of objects that are gone."""


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
    """Handle SIGTERM and SIGINT while the body is executed, and end it.

    An error after the signal is one of its effects: what `Stop` raises between two instructions of `Condition.wait`
    makes the condition fail.
    """
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    except Exception:
        if not stop.requested:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(hub: Hub, job: Job, stop: Stop) -> None:
    """Run whenever an event makes it necessary, and after every period of the job, until SIGTERM.

    Args:
        hub: says when a run is due.
        job: carries it out.
        stop: handles SIGTERM.
    """
    resync = time.monotonic()  # the first run begins at once
    runs = resyncs = 0
    while not stop.requested:
        causes = hub.wait(min(resync, time.monotonic() + LIVENESS_SECONDS))
        now = time.monotonic()
        if now < resync:
            causes -= {"resync"}
        if causes:
            with deadline.limited(last=LAST_SECONDS) as run:
                stop.run = run
                status = job.run(causes)
            stop.run = Run()
            notify(f"STATUS={status}", *(() if runs else ("READY=1",)))
            runs += 1
        if "resync" in causes:
            resync = pace.next_resync(now, job.period, random.random())  # noqa: S311 nothing secret depends on it
            resyncs += 1
            clean_up(job, whole=resyncs % FULL_COLLECTION == 1)
        job.alive()
        notify("WATCHDOG=1")
    notify("STOPPING=1")


def clean_up(job: Job, *, whole: bool) -> None:
    """Free what no run needs any more: garbage, and with `whole` the caches and free pages."""
    if whole:
        job.clear_caches()
    gc.collect(2 if whole else 1)  # `main` switches the collector off
    if whole:
        memory.trim()
