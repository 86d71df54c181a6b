"""What a child costs: time by the wall clock, processor time, and the most memory that it or a child of its had.

A process that is started from a large one has that one's memory in its own peak, as it was a copy of it for a moment.
So a small launcher stands between, which measures and says.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LAUNCHER = """
import os, sys, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
start = time.monotonic()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)])
_, status, used = os.wait4(pid, 0)
seconds = time.monotonic() - start
code = os.waitstatus_to_exitcode(status)
print(f'[{code}, {seconds}, {used.ru_utime}, {used.ru_stime}, {used.ru_maxrss}]', flush=True)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one child that ended. Seconds; peak: MiB."""

    code: int
    seconds: float
    user: float
    system: float
    peak: float


def run(
    argv: Sequence[str], *, environment: Mapping[str, str], text: str = "", out: str = "/dev/null", expected: int = 0
) -> Cost:
    """Run a program to its end; out: the file that gets its stdout; expected: its exit code."""
    launcher = (sys.executable, "-I", "-S", "-c", _LAUNCHER, out)
    done = subprocess.run(
        (*launcher, *argv), input=text, env=dict(environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    code, seconds, user, system, peak = json.loads(done.stdout.splitlines()[-1])
    assert code == expected, (code, done.stderr)
    return Cost(code, seconds, user, system, peak / 1024)


def best(costs: Sequence[Cost]) -> Cost:
    """The least of each: what else the machine does only ever adds."""
    return Cost(
        code=0,
        seconds=min(c.seconds for c in costs),
        user=min(c.user for c in costs),
        system=min(c.system for c in costs),
        peak=min(c.peak for c in costs),
    )
