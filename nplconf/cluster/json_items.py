"""A JSON dump of any size, one item at a time: what is not kept costs no memory.

Measured on 124 MB as kubectl prints them (16,000 objects), on a busy machine: `json.load` 2.7 s and all of it in
memory; ijson with its C backend 1.8 s and 15 MB; the standard decoder, item by item as here, 0.9 s and 33 MB. So a
dump is read by the same rules as a small file, and ijson is not needed.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from nplconf.cluster.documents import LISTS_DEEP, Located, Place, check, listed, objects_of
from nplconf.cluster.file import formats
from nplconf.errors import BadDataError
from nplconf.files.reading import foreign_encoding

CHUNK = 4 * 2**20
"""Bytes that are read at once."""
LONGEST = 16 * 2**20
"""Characters of one item: ten times what an API server takes. What goes on beyond it is no JSON."""
BYTES = 4 * 2**30

_SPACE = re.compile(r"[ \t\n\r]*")
_LIST = re.compile(
    r'\{\s{0,99}"apiVersion"\s{0,9}:\s{0,9}"v1"\s{0,9},\s{0,99}(?:"kind"\s{0,9}:\s{0,9}"[A-Za-z]{1,60}"\s{0,9},\s{0,99})?'
    r'"items"\s{0,9}:\s{0,9}\[',
)
"""A List among the items, as kubectl begins one. It may be larger than LONGEST, so it is read item by item, too."""
_LIST_BEGINS = 600
"""Characters that `_LIST` looks at, at most."""
_DECODER = json.JSONDecoder(parse_constant=formats.no_constant)


def objects(file: BinaryIO, source: str) -> Iterator[Located]:
    """Return the objects of a file that begins with `{`, as `documents.objects_of` finds them, but in another order.

    Raises:
        BadDataError: The file is not understood, or was cut off. What came before is then no cluster.
    """
    reader = _Reader(file, source)
    yield from _document(reader, source, (0,))
    reader.end()


def _document(reader: "_Reader", source: str, place: Place) -> Iterator[Located]:
    """Return the objects of the document that begins here."""
    document: dict[str, Any] = {}
    waiting: list[tuple[Place, object]] = []
    for key in reader.members():
        if key != "items" or not reader.at("["):
            document[key] = reader.value()
            continue
        if "items" in document:
            raise BadDataError(f"{source}: items twice")
        document["items"] = []
        for number, _ in enumerate(reader.elements()):
            at = (*place, number)
            if len(at) <= LISTS_DEEP and reader.matches(_LIST):
                yield from _document(reader, source, at)
                continue
            raw = reader.value()
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
    """The part of an item that decides whether it is understood. Objects of other API groups are not kept whole."""
    if isinstance(raw, dict) and "/" in str(raw.get("apiVersion")) and "items" not in raw:
        return {key: raw[key] for key in ("kind", "apiVersion") if key in raw}
    return raw


class _Reader:
    """A window on a text, which is decoded from its beginning and moves on."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file = file
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._bytes = 0
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def members(self) -> Iterator[str]:
        """The keys of the object that the text is; the caller reads the value of each."""
        self._expect("{")
        if self.at("}"):
            self._expect("}")
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self._wrong("a key that is no text")
            self._expect(":")
            yield key
            if self.at("}"):
                self._expect("}")
                return
            self._expect(",")

    def elements(self) -> Iterator[None]:
        """Yield before each element of the list that begins here; the caller reads the element."""
        self._expect("[")
        if not self.at("]"):
            yield
            while not self.at("]"):
                self._expect(",")
                yield
        self._expect("]")

    def matches(self, beginning: re.Pattern[str]) -> bool:
        """Whether what begins here matches in its first `_LIST_BEGINS` characters."""
        self._skip()
        while len(self._text) - self._at < _LIST_BEGINS and not self._ended:
            self._more()
        return beginning.match(self._text, self._at) is not None

    def value(self) -> Any:
        """The value that begins here."""
        self._skip()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._at > LONGEST:
                    raise self._wrong(error.msg, error.pos) from None
            except ValueError as error:
                raise self._wrong(str(error)) from None
            except RecursionError:
                raise BadDataError(f"{self._source}: nested too deeply") from None
            else:
                # a number that ends where the window ends may go on
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._more()

    def at(self, character: str) -> bool:
        """Whether the next thing begins with a character."""
        self._skip()
        return self._text.startswith(character, self._at)

    def end(self) -> None:
        """Nothing may follow."""
        self._skip()
        if self._at < len(self._text):
            raise self._wrong("Extra data")

    def _expect(self, character: str) -> None:
        if not self.at(character):
            raise self._wrong(f"{character!r} expected")
        self._at += 1

    def _skip(self) -> None:
        """Go to the next character that is no space."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or self._ended:
                return
            self._more()

    def _more(self) -> None:
        data = self._file.read(CHUNK)
        if not self._bytes and (encoding := foreign_encoding(data)):
            raise BadDataError(f"{self._source}: {encoding}")
        self._bytes += len(data)
        if self._bytes > BYTES:
            raise BadDataError(f"{self._source}: larger than {BYTES >> 20} MiB")
        try:
            more = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise BadDataError(f"{self._source}: is no UTF-8 text") from None
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + more, 0
        self._ended = not data

    def _wrong(self, message: str, position: int | None = None) -> BadDataError:
        line = self._line + self._text.count("\n", 0, self._at if position is None else position)
        return BadDataError(f"{self._source}, line {line}: not JSON: {message}")
