"""Files that a run depends on: whether one was edited or replaced, and the last good value that was made from them."""

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

PERIOD = 1.0
"""Seconds between two looks. A look is one stat for each file: a few microseconds."""

Signature = tuple[tuple[str, tuple[int, int, int] | None], ...]
T = TypeVar("T")


def signature(paths: Iterable[str]) -> Signature:
    """Return what changes when a file is edited, replaced, or a link on the way to it is swapped."""
    return tuple((path, _of(path)) for path in paths)


def _of(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def notice(paths: Callable[[], Iterable[str]], changed: Callable[[], None]) -> None:
    """Call changed whenever one of the files changes, from a daemon thread. paths: which they are at present."""

    def look() -> None:
        before = signature(paths())
        while True:
            time.sleep(PERIOD)
            now = signature(paths())
            if now != before:
                before = now
                changed()

    threading.Thread(target=look, name="files", daemon=True).start()


class LastGood(Generic[T]):
    """A value made from files, made anew when they change; while it cannot be made, the last good one.

    Args:
        value: the first one, where it is known.
    """

    def __init__(self, value: T | None = None) -> None:
        self._value = value
        self._made_from: Hashable = None
        self.problem = ""
        """Why the value is not that of the files as they are now."""

    def get(self, made_from: Hashable, make: Callable[[], T]) -> T:
        """Return the value.

        Args:
            made_from: what the value depends on, such as the `signature` of the files.
            make: makes the value. What it raises while there is no good value is raised here, too.
        """
        if self._value is not None and made_from == self._made_from:
            return self._value
        try:
            value = make()
        except Exception as err:
            if self._value is None:
                raise
            self.problem, value = str(err), self._value
        else:
            self.problem = ""
        self._value, self._made_from = value, made_from
        return value
