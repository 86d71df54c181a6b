"""A whole cluster from large dumps: a JSON list is read item by item, and of each only what is used is kept.

What a file may be, and which error it gives otherwise, is as in `formats`: a list that could only be understood from
what stands behind its items, and every file that is no JSON, is read at once.
"""

import codecs
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from nplconf.cluster import formats
from nplconf.cluster.file import STDIN, FileCluster
from nplconf.cluster.objects import state
from nplconf.errors import BadDataError
from nplconf.model import ClusterState

_CHUNK = 4 * 2**20
_SPACE = " \t\r\n"
Progress = Callable[[int], None]
"""Told how many bytes were read more."""


class _NeedsAllError(Exception):
    """A file that is not understood item by item."""


def snapshot(files: Sequence[str], progress: Progress) -> ClusterState:
    """As `FileCluster.snapshot` for no node in particular. Raises BadDataError."""
    if any(name == STDIN or not stat.S_ISREG(_mode(name)) for name in files):
        return FileCluster(files, None).snapshot(None)
    try:
        found = itertools.chain.from_iterable(_objects(name, progress) for name in files)
        first = next(found, None)
        if first is None:
            raise BadDataError(f"{', '.join(files)}: no Kubernetes object at all")
        return state(itertools.chain([first], found), None)
    except _NeedsAllError:
        return FileCluster(files, None).snapshot(None)


def _mode(name: str) -> int:
    try:
        return os.stat(name).st_mode  # noqa: PTH116 as the other readers of this package
    except (OSError, ValueError):
        return 0


def _objects(name: str, progress: Progress) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with open(name, "rb") as file:  # noqa: PTH123 as the other readers of this package
            yield from _Reader(file, progress).objects(name)
    except OSError as err:
        raise BadDataError(f"{name}: {err.strerror or err}") from None


class _Reader:
    """A JSON document through a window of text that moves over the file."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file, self._progress = file, progress
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder(parse_constant=_no_constant).raw_decode
        self._text, self._at, self._end = "", 0, False

    def objects(self, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(kind, object) of a list's items; raises _NeedsAllError for everything that is not plainly a list."""
        self._expect("{")
        document: dict[str, Any] = {}
        while True:
            key = self._value()
            self._expect(":")
            if key in document or not isinstance(key, str):
                raise _NeedsAllError
            if key == "items":
                document[key] = []
                yield from self._items(document)
            else:
                document[key] = self._value()
            if self._expect(",}") == "}":
                break
        if self._peek() or "items" not in document:
            raise _NeedsAllError
        formats.check(document, source)

    def _items(self, document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        self._expect("[")
        if self._peek() == "]":
            self._expect("]")
            return
        while True:
            raw = self._value()
            if isinstance(raw, dict):
                if not ("kind" in raw or "kind" in document) or not ("apiVersion" in raw or "apiVersion" in document):
                    raise _NeedsAllError
                if raw.get("apiVersion", document.get("apiVersion")) == "v1":
                    yield formats.kind_of(raw, document), raw
            if self._expect(",]") == "]":
                return

    def _value(self) -> Any:
        """The next value, whole: what stands at the window's end may go on behind it."""
        self._peek()
        while True:
            try:
                value, at = self._scan(self._text, self._at)
            except (ValueError, RecursionError):
                at = len(self._text)
            if at < len(self._text):
                self._at = at
                return value
            if not self._more():
                raise _NeedsAllError

    def _expect(self, allowed: str) -> str:
        found = self._peek()
        if not found or found not in allowed:
            raise _NeedsAllError
        self._at += 1
        return found

    def _peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read on; what was dealt with is dropped. As much again as there is: a long value is not tried too often."""
        if self._end:
            return False
        rest = self._text[self._at :]
        data = self._file.read(max(_CHUNK, len(rest)))
        self._progress(len(data))
        self._end = not data
        try:
            self._text, self._at = rest + self._decode(data, self._end), 0
        except UnicodeDecodeError:
            raise _NeedsAllError from None
        return bool(data)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
