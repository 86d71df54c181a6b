"""`nplconf watch` on a node of the tests, run by run.

A line on stdin starts a run. Two lines on stdout say that it begins, and have its result.

The line on stdin is JSON: the seconds by which the wall clock is wrong, and what an API server has (`watchsources.py`).

What starts a run in watch mode (an event, an edited file, a notification of the kernel) is collected until that line
comes. So a test that changes something, runs, and judges does the same with this process as with one `nplconf apply`
after another. With an API server, a run that nothing would start is a resync; its result says so.
"""

import argparse
import contextlib
import functools
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from watchsources import RecordingHub, Versions, followed

from nplconf import deadline
from nplconf.cli import messages, options
from nplconf.cli.commands import watch
from nplconf.cli.inputs import FollowedInputs
from nplconf.cli.job import WatchJob
from nplconf.cli.main import parser_of
from nplconf.errors import NplconfError
from nplconf.output import data
from nplconf.settings import Settings
from nplconf.watch import memory
from nplconf.watch.drift import Monitor
from nplconf.watch.files import Signature, signature
from nplconf.watch.hub import Cause
from nplconf.watch.loop import FULL_COLLECTION, LAST_SECONDS, Stop, clean_up, stoppable
from nplconf.watch.mirror import Mirror

NOTIFIED_SECONDS = 0.05
"""In which the kernel's notifications are read. In watch mode a run would begin with them."""


def main() -> None:
    """Run once for each line."""
    gc.disable()
    memory.limit_heaps()
    arguments, _ = parser_of("watch").parse_known_args(sys.argv[1:])
    settings = options.resolve(vars(arguments), os.environ)
    messages.configure(settings)
    clock = time.time
    with stoppable() as stop:
        driver = Driver(arguments, settings, stop)
        for line in sys.stdin:
            given = json.loads(line)
            time.time = functools.partial(_shifted, clock, given["clock"])
            time.sleep(NOTIFIED_SECONDS)
            driver.prepare(given["versions"])
            say("begins")
            say(driver.run())
            if stop.requested:
                return
            driver.clean_up()


def say(what: object) -> None:
    """Write a line of JSON, after all that was logged before."""
    sys.stderr.flush()
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


class Driver:
    """Watch mode without its loop."""

    def __init__(self, arguments: argparse.Namespace, settings: Settings, stop: Stop) -> None:
        self._arguments, self._settings, self._stop = arguments, settings, stop
        self._api = watch._follows_api(settings)
        self._hub = RecordingHub(Mirror.of_node(settings.node) if self._api else Mirror({}))
        self._runs = 0
        self._job: WatchJob | None = None
        self._files: Signature = ()
        Monitor(self._hub.drifted).start()

    def prepare(self, versions: Versions) -> None:
        """Start watch mode where it does not run, and wait until it has seen what the API server has."""
        with contextlib.suppress(NplconfError):  # raised again by the run
            self._job = self._job or self._started()
            self._hub.wait_for_versions(versions)

    def run(self) -> dict[str, Any]:
        """Carry out one run; its exit code, its JSON output and its causes."""
        try:
            job = self._job or self._started()
            causes = self._causes(job)
            with deadline.limited(last=LAST_SECONDS) as self._stop.run:
                result, code = job._recorded(causes)
                job._report(result, code)
        except NplconfError as err:
            messages.error(str(err))
            return {"code": err.exit_code, "data": {}}
        finally:
            self._stop.run = deadline.Run()
        return {"code": code, "data": data.apply(result), "causes": sorted(causes)}

    def clean_up(self) -> None:
        """Do what the loop does after a run."""
        if self._job:
            clean_up(self._job, whole=self._runs % FULL_COLLECTION == 0)
        self._runs += 1

    def _started(self) -> WatchJob:
        inputs = FollowedInputs(self._arguments, self._settings)
        return WatchJob(inputs, self._hub, followed(self._hub, self._settings) if self._api else None)

    def _causes(self, job: WatchJob) -> frozenset[Cause]:
        """Return why the run begins."""
        waiting = self._hub.wait(0.0) - {"resync"}
        before, self._files = self._files, signature(job._inputs.paths())
        if self._files != before:
            waiting |= {"files"}
        if not self._runs:
            return waiting | {"resync"}
        if self._api:
            return waiting or frozenset({"resync"})
        # iptables-legacy notifies nobody
        return waiting | {"resync" if self._settings.backend in ("legacy", "iptables-legacy") else "files"}


def _shifted(clock: Callable[[], float], seconds: float) -> float:
    return clock() + seconds


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
