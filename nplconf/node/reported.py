"""The lasting conditions that are already in the journal: stale plan rows, and removals that a limit blocks.

Runs come every few seconds, and such a condition lasts until a person acts. It is logged when it begins, and again when
it returns after its end. The file is written only when the conditions change.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from nplconf.errors import BadDataError
from nplconf.files import trusted, writing

FILE = "reported.json"
LIMIT = 1024 * 1024


def new(directory: str, conditions: Sequence[str]) -> tuple[str, ...]:
    """Return the conditions that the last run did not have, and store all conditions of this run.

    If the file cannot be read or written, all conditions are returned again.
    """
    before = _load(directory)
    if list(conditions) != before:
        try:
            _save(Path(directory, FILE), conditions)
        except OSError:
            return tuple(conditions)
    return tuple(one for one in conditions if one not in set(before))


def _load(directory: str) -> list[str]:
    try:
        found = json.loads(trusted.read(Path(directory, FILE), LIMIT))
    except (OSError, BadDataError, ValueError, RecursionError):
        return []
    return [str(one) for one in found] if isinstance(found, list) else []


def _save(path: Path, conditions: Sequence[str]) -> None:
    if conditions:
        writing.replace(path, f"{json.dumps(conditions)}\n".encode(), mode=0o600)
    else:
        path.unlink(missing_ok=True)
