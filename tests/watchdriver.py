"""`nplconf watch` on a node of the tests, run by run: a line on stdin starts a run, a line on stdout has its result.

The line on stdin has the seconds by which the wall clock is wrong.

What starts a run in watch mode (an edited file, a notification of the kernel) is collected until that line comes. So a
test that changes something, runs, and judges does the same with this process as with one `nplconf apply` after another.
"""

import contextlib
import functools
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from nplconf import deadline
from nplconf.cli import messages, options
from nplconf.cli.inputs import FollowedInputs
from nplconf.cli.job import WatchJob
from nplconf.cli.main import parser_of
from nplconf.errors import NplconfError
from nplconf.output import data
from nplconf.watch import memory
from nplconf.watch.drift import Monitor
from nplconf.watch.hub import Cause, Hub
from nplconf.watch.loop import FULL_COLLECTION, clean_up
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
    hub = Hub(Mirror({}))
    Monitor(hub.drifted).start()
    causes: frozenset[Cause] = frozenset({"resync"})
    job: WatchJob | None = None
    clock = time.time
    for number, line in enumerate(sys.stdin):
        time.time = functools.partial(_shifted, clock, float(line))
        time.sleep(NOTIFIED_SECONDS)
        try:
            job = job or WatchJob(FollowedInputs(arguments, settings), hub)
            with deadline.limited():
                said = _run(job, causes | _waiting(hub))
        except NplconfError as err:
            messages.error(str(err))
            said = {"code": err.exit_code, "data": {}}
        sys.stderr.flush()
        sys.stdout.write(f"{json.dumps(said)}\n")
        sys.stdout.flush()
        # iptables-legacy notifies nobody
        if job:
            clean_up(job, whole=number % FULL_COLLECTION == 0)  # as in the loop
        causes = frozenset({"resync"} if settings.backend in ("legacy", "iptables-legacy") else {"files"})


def _shifted(clock: Callable[[], float], seconds: float) -> float:
    return clock() + seconds


def _waiting(hub: Hub) -> frozenset[Cause]:
    """Return the causes that wait for a run, which this is."""
    return hub.wait(0.0) - {"resync"}


def _run(job: WatchJob, causes: frozenset[Cause]) -> dict[str, Any]:
    result, code = job._recorded(causes)
    job._report(result, code)
    return {"code": code, "data": data.apply(result)}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
