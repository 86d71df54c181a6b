"""Files that a run depends on: whether one was edited or replaced, and the last good value that was made from them."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

PERIOD = 1.0
"""Seconds between two looks. A look is one stat for each file: a few microseconds."""

Signature = tuple[tuple[int, int, int] | None, ...]
T = TypeVar("T")


def signature(paths: Iterable[str]) -> Signature:
    """Return what changes when a file is edited, replaced, or a link on the way to it is swapped."""
    return tuple(_of(path) for path in paths)


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
    """A value made from files, made anew when a file changes; while it cannot be made, the last good one.

    Args:
        make: makes the value. What it raises the first time is the caller's.
        broken: told each time that the value cannot be made any more.
    """

    def __init__(self, make: Callable[[], T], broken: Callable[[Exception], None]) -> None:
        self._make, self._broken = make, broken
        self._value: T | None = None
        self._signature: Signature | None = None

    def get(self, paths: Iterable[str]) -> T:
        """Return the value for the files as they are now."""
        now = signature(paths)
        if self._value is not None and now == self._signature:
            return self._value
        self._signature = now
        try:
            self._value = self._make()
        except Exception as err:
            if self._value is None:
                raise
            self._broken(err)
        return self._value
