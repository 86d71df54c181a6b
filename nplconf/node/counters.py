"""Counters of the runs, stored in the state directory, so that nothing between two scrapes is lost.

They are written without fsync after each run that writes metrics. After a power cut some runs may be missing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nplconf.errors import BadDataError
from nplconf.files import trusted as own
from nplconf.files import writing

FILE = "counters.json"
LIMIT = 10_000
"""Bytes. The three objects need a few hundred."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Runs by result, changes by action, and failures by step, since the state directory was created."""

    runs: Mapping[str, int] = field(default_factory=dict, hash=False)
    changes: Mapping[str, int] = field(default_factory=dict, hash=False)
    failures: Mapping[str, int] = field(default_factory=dict, hash=False)

    def after(self, result: str, actions: Iterable[str] = (), steps: Iterable[str] = ()) -> "Counters":
        """Return the counters after one more run."""
        return Counters(
            dict(Counter(self.runs) + Counter((result,))),
            dict(Counter(self.changes) + Counter(actions)),
            dict(Counter(self.failures) + Counter(steps)),
        )


def load(directory: str) -> Counters:
    """Return the counters; zeros if the file is missing or damaged."""
    try:
        data = json.loads(own.read(Path(directory, FILE), LIMIT))
        return Counters(*(_counts(data[name]) for name in ("runs", "changes", "failures")))
    except (OSError, BadDataError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return Counters()


def save(directory: str, counters: Counters) -> None:
    """Write the counters. Raises OSError."""
    data = {"runs": counters.runs, "changes": counters.changes, "failures": counters.failures}
    writing.replace(Path(directory, FILE), f"{json.dumps(data)}\n".encode(), mode=0o600)


def _counts(data: Mapping[str, object]) -> dict[str, int]:
    found = {str(word): count for word, count in data.items() if isinstance(count, int) and count >= 0}
    if len(found) != len(data):
        raise ValueError("no counts")
    return found
