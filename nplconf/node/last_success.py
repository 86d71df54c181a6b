"""When a run last ended well: one small file in the state directory, for `doctor` and for the metrics.

It is renewed once a minute at most: runs come every few seconds, and a node that is idle shall leave its disk alone.
"""

import json
from pathlib import Path
from typing import NamedTuple

from nplconf.errors import BadDataError
from nplconf.files import trusted as own
from nplconf.files import writing

FILE = "last-success.json"
LIMIT = 1000
"""Bytes; an entry has a hundred."""
PERIOD = 60.0
"""Seconds for which an entry is left as it is."""


class Success(NamedTuple):
    """A run that ended well. at: seconds of the boot-time clock of that boot; when: seconds since 1970."""

    boot: str
    at: float
    when: float


def last(directory: str) -> Success | None:
    """What was noted, None when nothing was, or nothing that can be understood."""
    try:
        data = json.loads(own.read(Path(directory, FILE), LIMIT))
        return Success(str(data["boot"]), float(data["at"]), float(data["when"]))
    except (OSError, BadDataError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def note(directory: str, now: Success) -> None:
    """Write down that a run ended well just now. Raises OSError."""
    before = last(directory)
    if before and before.boot == now.boot and 0 <= now.at - before.at < PERIOD and now.when >= before.when:
        return
    writing.put(Path(directory, FILE), f"{json.dumps(now._asdict())}\n".encode(), 0o600)
