"""Elements of sets and maps as values, and as text for nft by one strict grammar."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from nplconf.rules.grammar import BITS4, BITS6, IPV4, IPV6, PORT
from nplconf.rules.owner import LONGEST, SAFE


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
_WRITTEN = re.compile(rf'{_ATOM}(?: \. {_ATOM})?(?: comment "{SAFE}{{1,{LONGEST}}}" : {_TARGET})?')


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
