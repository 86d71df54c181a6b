"""Elements of sets and maps as values, and their text: one strict grammar for what is written and for what is read."""

import re
from collections.abc import Mapping
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
    found: dict[str, Entry] = {}
    end, unknown = 0, False
    for match in _READ.finditer(text):
        key, comment, to, other = match.groups()
        unknown = unknown or other is not None or match.start() != end
        end = match.end()
        if key is not None:
            found[key] = Entry(to, comment) if to else MEMBER
    return found, unknown or end != len(text)
