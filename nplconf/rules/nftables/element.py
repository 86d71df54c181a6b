"""Elements of sets and maps as values and as text: one strict grammar for writing and reading."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from nplconf.rules.grammar import BITS4, BITS6, IPV4, IPV6, PORT
from nplconf.rules.owner import SAFE


class Element(NamedTuple):
    """The parts of an element beside its key: in a map `to` is `ADDRESS . PORT`, and `comment` is the owner tag."""

    to: str = ""
    comment: str = ""


Elements = Mapping[str, Element]
"""The elements of one set or map by key, each key as nft prints it."""
MEMBER = Element()
"""An element of a set, which is only its key."""

_ATOM = rf"(?:{IPV4}(?:/{BITS4})?|{IPV6}(?:/{BITS6})?|{PORT}(?:-{PORT})?)"
_TARGET = rf"(?:{IPV4}|{IPV6}) \. {PORT}"
_ELEMENT = rf'(?P<key>{_ATOM}(?: \. {_ATOM})?)(?: comment "(?P<comment>{SAFE}{{1,128}})" : (?P<to>{_TARGET}))?'
_WRITTEN = re.compile(_ELEMENT)
_SEPARATOR = re.compile(r",\s+")
_READ = re.compile(rf'(?:{_ELEMENT}|(?P<other>(?:[^",]|"[^"\n]*")+))(?:,\s+|\Z)')


def to_text(key: str, entry: Element) -> str:
    """Return an element as nft reads it.

    Raises:
        ValueError: The result is outside the grammar. Nothing else ever reaches nft.
    """
    text = f'{key} comment "{entry.comment}" : {entry.to}' if entry != MEMBER else key
    if _WRITTEN.fullmatch(text) is None:
        raise ValueError(f"not an element that may be written: {text!r}")
    return text


def key_to_text(key: str) -> str:
    """Return the key of an element to delete. Raises ValueError as `to_text`."""
    return to_text(key, MEMBER)


def parse(text: str) -> tuple[Elements, bool]:
    """Parse a list of elements that nft printed. Return them, and whether the list has anything else."""
    pairs = [_element(part) for part in _SEPARATOR.split(text)]
    found = {pair[0]: pair[1] for pair in pairs if pair is not None}
    return (found, False) if len(found) == len(pairs) else _among_others(text)


@lru_cache(maxsize=1 << 17)
def _element(text: str) -> tuple[str, Element] | None:
    """Parse one element; None for any other text. Cached: each table is read twice in a run."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return None
    key, comment, to = match.groups()
    return key, Element(to, comment) if to else MEMBER


def _among_others(text: str) -> tuple[Elements, bool]:
    """Parse as `parse`, if a comment may contain a separator. An element begins where a complete one before it ends."""
    found: dict[str, Element] = {}
    for match in _READ.finditer(text):
        key, comment, to, _ = match.groups()
        if key is not None:
            found[key] = Element(to, comment) if to else MEMBER
    return found, True


def clear_cache() -> None:
    """Drop the parsed elements. A process that lives long would keep those of each rule that it ever had."""
    _element.cache_clear()
