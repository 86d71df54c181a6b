"""Reading of a JSON dump of any size, one item at a time, in little memory.

Measured on 124 MB as kubectl prints them (16,000 objects), on a busy machine: `json.load` 2.7 s and all of it in
memory; ijson with its C backend 1.8 s and 15 MB; the standard decoder, item by item as here, 0.9 s and 33 MB. So a
dump is read by the same rules as a small file, and ijson is not needed.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from nplconf.cluster.documents import LISTS_DEEP, Located, Place, check, listed, objects_of
from nplconf.cluster.json_window import JsonError, Window
from nplconf.errors import BadDataError
from nplconf.files.reading import foreign_encoding

CHUNK = 4 * 2**20
"""Bytes that are read at once."""
LONGEST = 16 * 2**20
"""Characters of one item: ten times what an API server takes. What goes on beyond it is no JSON."""
BYTES = 4 * 2**30

_LIST = re.compile(
    r'\{\s{0,99}"apiVersion"\s{0,9}:\s{0,9}"v1"\s{0,9},\s{0,99}(?:"kind"\s{0,9}:\s{0,9}"[A-Za-z]{1,60}"\s{0,9},\s{0,99})?'
    r'"items"\s{0,9}:\s{0,9}\[',
)
"""A List among the items, as kubectl begins one. It may be larger than LONGEST, so it is read item by item, too."""
_LIST_BEGINS = 600
"""Characters that `_LIST` looks at, at most."""


def objects(file: BinaryIO, source: str) -> Iterator[Located]:
    """Return the objects of a file that begins with `{`, as `documents.objects_of` finds them, but in another order.

    Raises:
        BadDataError: The file is not understood, or was cut off. What came before is then no cluster.
    """
    window = Window(_Text(file, source).read, LONGEST)
    try:
        yield from _document(window, source, (0,))
        window.end()
    except JsonError as error:
        raise BadDataError(f"{source}, line {error.line}: not JSON: {error}") from None


def _document(window: Window, source: str, place: Place) -> Iterator[Located]:
    """Return the objects of the document that begins here."""
    document: dict[str, Any] = {}
    waiting: list[tuple[Place, object]] = []
    for key in window.members():
        if key != "items" or not window.at("["):
            document[key] = window.value()
            continue
        if "items" in document:
            raise BadDataError(f"{source}: items twice")
        document["items"] = []
        for number, _ in enumerate(window.elements()):
            at = (*place, number)
            if len(at) <= LISTS_DEEP and window.matches(_LIST, _LIST_BEGINS):
                yield from _document(window, source, at)
                continue
            raw = window.value()
            # what the items of a list leave out is said by the list, at times behind them
            if isinstance(raw, dict) and "kind" in raw and raw.get("apiVersion") == "v1":
                yield from listed(raw, {}, source, at)
            else:
                waiting.append((at, _needed(raw)))
    check(document, source)
    if "items" not in document:
        yield from objects_of(document, source)
    for at, raw in waiting:
        yield from listed(raw, document, source, at)


def _needed(raw: object) -> object:
    """Return the part of an item that is checked. Objects of other API groups are not kept in memory as a whole."""
    if isinstance(raw, dict) and "/" in str(raw.get("apiVersion")) and "items" not in raw:
        return {key: raw[key] for key in ("kind", "apiVersion") if key in raw}
    return raw


class _Text:
    """The text of a file, part by part."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file = file
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._bytes = 0

    def read(self) -> str | None:
        """Return the next part; None at the end. Raises BadDataError."""
        data = self._file.read(CHUNK)
        if not self._bytes and (encoding := foreign_encoding(data)):
            raise BadDataError(f"{self._source}: {encoding}")
        self._bytes += len(data)
        if self._bytes > BYTES:
            raise BadDataError(f"{self._source}: larger than {BYTES >> 20} MiB")
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise BadDataError(f"{self._source}: is no UTF-8 text") from None
        return text if data else None
