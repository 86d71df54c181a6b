"""Elements of sets and maps as values, and their text: one strict grammar for what is written and for what is read."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from nplconf.rules.grammar import BITS4, BITS6, IPV4, IPV6, PORT
from nplconf.rules.owner import SAFE


class Entry(NamedTuple):
    """What an element has beside its key. to: `ADDRESS . PORT` in a map. comment: the owner tag in a map."""

    to: str = ""
    comment: str = ""


Elements = Mapping[str, Entry]
"""The elements of one set or map by key, each key as nft prints it."""
MEMBER = Entry()
"""An element of a set, which is its key alone."""

_ATOM = rf"(?:{IPV4}(?:/{BITS4})?|{IPV6}(?:/{BITS6})?|{PORT}(?:-{PORT})?)"
_TARGET = rf"(?:{IPV4}|{IPV6}) \. {PORT}"
_ELEMENT = rf'(?P<key>{_ATOM}(?: \. {_ATOM})?)(?: comment "(?P<comment>{SAFE}{{1,128}})" : (?P<to>{_TARGET}))?'
_WRITTEN = re.compile(_ELEMENT)
_SEPARATOR = re.compile(r",\s+")
_READ = re.compile(rf'(?:{_ELEMENT}|(?P<other>(?:[^",]|"[^"\n]*")+))(?:,\s+|\Z)')


def to_text(key: str, entry: Entry) -> str:
    """Return an element as nft reads it.

    Raises ValueError when the result is outside the grammar: nothing else ever reaches nft.
    """
    text = f'{key} comment "{entry.comment}" : {entry.to}' if entry != MEMBER else key
    if _WRITTEN.fullmatch(text) is None:
        raise ValueError(f"not an element that may be written: {text!r}")
    return text


def key_to_text(key: str) -> str:
    """Return the key of an element that is to be deleted. Raises ValueError as `to_text`."""
    return to_text(key, MEMBER)


def parse(text: str) -> tuple[Elements, bool]:
    """Return the elements in a list that nft printed, and whether there is anything else in it."""
    pairs = [_element(part) for part in _SEPARATOR.split(text)]
    found = {pair[0]: pair[1] for pair in pairs if pair is not None}
    return (found, False) if len(found) == len(pairs) else _among_others(text)


@lru_cache(maxsize=1 << 17)
def _element(text: str) -> tuple[str, Entry] | None:
    """One element, None for another text. Of two readings the second costs little."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return None
    key, comment, to = match.groups()
    return key, Entry(to, comment) if to else MEMBER


def _among_others(text: str) -> tuple[Elements, bool]:
    """As `parse`, where a comment may hold a separator, so that elements are where a whole one before them ends."""
    found: dict[str, Entry] = {}
    for match in _READ.finditer(text):
        key, comment, to, _ = match.groups()
        if key is not None:
            found[key] = Entry(to, comment) if to else MEMBER
    return found, True
