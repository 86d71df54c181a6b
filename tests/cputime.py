"""The processor time of a piece of work, as the processor has it at this moment.

A core that runs two threads, or a slower one, takes up to three times the time for the same work. So a limit counts for
a processor that does a fixed loop in `LOOP_SECONDS`, and is longer on one that takes longer for the loop.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

LOOP_SECONDS = 0.02


def assert_below(seconds: float, work: Callable[[], object]) -> None:
    """Do a piece of work until it takes less processor time than this, three times at most."""
    found: list[tuple[float, float]] = []
    while len(found) < 3 and not any(map(_is_below(seconds), found)):
        found.append((spent(work), max(spent(_loop), spent(_loop))))
    assert any(map(_is_below(seconds), found)), found


def _is_below(seconds: float) -> Callable[[tuple[float, float]], bool]:
    return lambda pair: pair[0] < seconds * max(1.0, pair[1] / LOOP_SECONDS)


def spent(work: Callable[[], object]) -> float:
    """The seconds of processor time that a piece of work takes in this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _loop() -> None:
    found = {}
    for number in range(300_000):
        found[number % 1000] = str(number)


def spent_by(pid: int) -> float:
    """The seconds of processor time that a process that runs has spent; children do not count."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
