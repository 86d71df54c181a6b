"""The time of the last successful run, in a small file of the state directory, for `doctor` and the metrics.

It is written at most once a minute: runs come every few seconds, and an idle node should not write to its disk.
"""

import json
from pathlib import Path
from typing import NamedTuple

from nplconf.errors import BadDataError
from nplconf.files import trusted as own
from nplconf.files import writing

FILE = "last-success.json"
LIMIT = 1000
"""Bytes. An entry has a hundred."""
PERIOD = 60.0
"""Seconds before an entry is written again."""


class Success(NamedTuple):
    """A successful run.

    Attributes:
        at: Seconds of the boot-time clock.
        when: Seconds since 1970.
    """

    boot: str
    at: float
    when: float


def last(directory: str) -> Success | None:
    """Return the entry; None if the file is missing or damaged."""
    try:
        data = json.loads(own.read(Path(directory, FILE), LIMIT))
        return Success(str(data["boot"]), float(data["at"]), float(data["when"]))
    except (OSError, BadDataError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def note(directory: str, now: Success) -> None:
    """Write that a run succeeded now. Raises OSError."""
    before = last(directory)
    if before and before.boot == now.boot and 0 <= now.at - before.at < PERIOD and now.when >= before.when:
        return
    writing.put(Path(directory, FILE), f"{json.dumps(now._asdict())}\n".encode(), 0o600)
