"""The elements of the table's sets and maps, as the kernel lists them over netlink.

The kernel lists 10,000 mappings in 6 ms. libnftables takes 0.11 s to make values of them and to print those, and its
text takes 50 ms to parse. Each kind of set has one pattern for its elements, made from its declaration in
`rules.nftables.frame`. Any other element is foreign.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from socket import AF_INET6, inet_aton, inet_ntoa, inet_ntop, inet_pton
from typing import NamedTuple

from nplconf.node.netlink import (
    ATTRIBUTE,
    ERROR,
    NESTED,
    PREFIX,
    REQUEST,
    Channel,
    attribute,
    attributes,
    each,
    raise_error,
)
from nplconf.rules.nftables.element import MEMBER, Element, Elements
from nplconf.rules.nftables.frame import TABLE, frame
from nplconf.rules.owner import LONGEST, SAFE

INET = 1
"""NFPROTO_INET."""
GET_ELEMENTS, GET_GENERATION = 10 << 8 | 13, 10 << 8 | 16  # NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, _GETGEN
GENERATION = 1
LIST_TABLE, LIST_SET, LIST_ELEMENTS = 1, 2, 3
LIST_ELEMENT = 1
KEY, DATA, USER_DATA, KEY_END = 1, 2, 6, 10
VALUE = 1
COMMENT = 0
"""The type of the comment in the user data, which nft writes."""


class Listed(NamedTuple):
    """The elements of one set. foreign: it has others, too, which nplconf would never write."""

    elements: Elements
    foreign: bool = False


def generation(kernel: Channel) -> int:
    """Return the number of the last change to nftables in this network namespace. Raises OSError."""
    kernel.send([kernel.message(GET_GENERATION, REQUEST)])
    _, answer = next(kernel.received())
    found = attributes(answer[PREFIX:]).get(GENERATION)
    if found is None:
        raise_error(answer)
        raise OSError(0, "no generation in the answer of nftables")
    return int.from_bytes(found, "big")


def read(kernel: Channel, name: str) -> Listed:
    """Return the elements of a set of the table; none if the set does not exist. Raises OSError.

    Args:
        kernel: A channel of the family `INET`.
        name: The name of a set or map of the frame.
    """
    try:
        messages = list(kernel.listed(GET_ELEMENTS, _place(name)))
    except FileNotFoundError:
        return Listed({})
    return parse(name, (attributes(message[PREFIX:]).get(LIST_ELEMENTS, b"") for message in messages))


def look_up(kernel: Channel, name: str, keys: Iterable[str]) -> Listed:
    """Look elements up by their keys, and return those that the set has. Raises OSError.

    Args:
        kernel: A channel of the family `INET`.
        name: The name of a set or map of the frame, one without intervals.
        keys: The keys of the elements, as nft prints them.
    """
    lists = []
    for key in keys:
        element = attribute(
            LIST_ELEMENT | NESTED, attribute(KEY | NESTED, attribute(VALUE, _packed(_layout(name).key, key)))
        )
        kernel.send([kernel.message(GET_ELEMENTS, REQUEST, _place(name) + attribute(LIST_ELEMENTS | NESTED, element))])
        answer, message = next(kernel.received())
        try:
            if answer == ERROR:
                raise_error(message)
            lists.append(attributes(message[PREFIX:]).get(LIST_ELEMENTS, b""))
        except FileNotFoundError:
            continue
    return parse(name, lists)


def has_intervals(name: str) -> bool:
    """Return whether the keys of a set may be ranges."""
    return "flags interval" in _declaration(name)


def _place(name: str) -> bytes:
    return attribute(LIST_TABLE, _word(TABLE.split()[1])) + attribute(LIST_SET, _word(name))


def parse(name: str, lists: Iterable[bytes]) -> Listed:
    """Parse the lists of elements in the kernel's messages about one set."""
    found: dict[str, Element] = {}
    foreign = False
    for listed in lists:
        for _, raw in each(listed):
            pair = _element(name, raw)
            if pair:
                found[pair[0]] = pair[1]
            else:
                foreign = True
    return Listed(found, foreign)


def clear_cache() -> None:
    """Drop the parsed elements. A process that lives long would keep those of each rule that it ever had."""
    _element.cache_clear()


# --- one element -----------------------------------------------------------------------------------------------------


class _Field(NamedTuple):
    """A type of fields.

    Attributes:
        size: Bytes.
        text: Returns a value as nft prints it, "" for one that nplconf never writes.
        value: Returns the value of such a text.
    """

    size: int
    text: Callable[[bytes], str]
    value: Callable[[str], bytes]


def _port(value: bytes) -> str:
    return str(value[0] << 8 | value[1])


def _ipv6(value: bytes) -> str:
    text = inet_ntop(AF_INET6, value)
    return "" if "." in text else text  # with dots it is an IPv4 address


_PORT = _Field(2, _port, lambda text: int(text).to_bytes(2, "big"))
_FIELDS = {
    "inet_service": _PORT,
    "ipv4_addr": _Field(4, inet_ntoa, inet_aton),
    "ipv6_addr": _Field(16, _ipv6, lambda text: inet_pton(AF_INET6, text)),
}
_Fields = tuple[_Field, ...]
"""One field, or two that are concatenated."""


class _Layout(NamedTuple):
    """The form of a set's elements: the fields of a key and of a target, if it has one, and the pattern."""

    key: _Fields
    to: _Fields
    pattern: re.Pattern[bytes]


@lru_cache(maxsize=1 << 17)
def _element(name: str, raw: bytes) -> tuple[str, Element] | None:
    """Parse one element; None for a foreign one. Cached: a run that writes reads the table twice."""
    layout = _layout(name)
    match = layout.pattern.fullmatch(raw)
    if match is None:
        return None
    values = match.groups()
    count = len(layout.key)
    key = _text(layout.key, values)
    if layout.to:
        *_, size, comment = values
        to = _text(layout.to, values[count:])
        return (key, Element(to, comment.decode("ascii"))) if to and size[0] == len(comment) + 1 else None
    last = values[count:]
    if last and last[0] is not None and last != values[:count]:
        key = _ranges(layout.key, values, last)
    return (key, MEMBER) if key else None


def _packed(fields: _Fields, key: str) -> bytes:
    """Return the value of a key, in which each field of several is padded to four bytes."""
    values = [field.value(text) for field, text in zip(fields, key.split(" . "), strict=True)]
    return values[0] if len(values) == 1 else b"".join(value.ljust(_padded(len(value)), b"\0") for value in values)


def _text(fields: _Fields, values: Sequence[bytes]) -> str:
    """Return the values of fields as nft prints them; "" if nplconf never writes one of them."""
    first = fields[0].text(values[0])
    if len(fields) == 1:
        return first
    second = fields[1].text(values[1])
    return f"{first} . {second}" if first and second else ""


def _ranges(fields: _Fields, first: Sequence[bytes], last: Sequence[bytes]) -> str:
    texts = [_range(*ends) for ends in zip(fields, first, last, strict=False)]
    return " . ".join(texts) if all(texts) else ""


def _range(field: _Field, first: bytes, last: bytes) -> str:
    """Return a range as nft prints it: of ports FIRST-LAST, of addresses a network; "" if it is no network."""
    text = field.text(first)
    if first == last:
        return text
    if field is _PORT:
        return f"{text}-{field.text(last)}"
    low, high = int.from_bytes(first, "big"), int.from_bytes(last, "big")
    host = low ^ high
    if not text or host & (host + 1) or low & host:
        return ""
    return f"{text}/{8 * len(first) - host.bit_length()}"


def _declaration(name: str) -> tuple[str, ...]:
    return next(lines for place, lines in frame().items() if place in (f"set {name}", f"map {name}"))


@cache
def _layout(name: str) -> _Layout:
    lines = _declaration(name)
    declared = lines[0].removeprefix("type ").partition(" : ")
    key, to = (tuple(_FIELDS[kind] for kind in types.split(" . ") if kind) for types in declared[::2])
    pattern = _value(KEY, key)
    if has_intervals(name):
        pattern += rb"(?:%s)?" % _value(KEY_END, key)
    if to:
        comment = rb"%c(.)(%s{1,%d})\0{1,4}" % (COMMENT, SAFE.encode(), LONGEST)
        pattern += _value(DATA, to) + b".." + _kind(USER_DATA) + comment
    return _Layout(key, to, re.compile(pattern, re.DOTALL))


def _value(kind: int, fields: _Fields) -> bytes:
    """Return the pattern of an attribute with a value. Each field of several is padded to four bytes."""
    sizes = [field.size for field in fields]
    size = sizes[0] if len(sizes) == 1 else sum(map(_padded, sizes))
    values = b"".join(rb"(.{%d})\0{%d}" % (n, _padded(n) - n) for n in sizes)
    inner = ATTRIBUTE.size + size
    return _header(ATTRIBUTE.size + _padded(inner), kind) + _header(inner, VALUE) + values


def _header(length: int, kind: int) -> bytes:
    return re.escape(ATTRIBUTE.pack(length, 0)[:2]) + _kind(kind)


def _kind(kind: int) -> bytes:
    """Return the pattern of an attribute's type, whether the kernel marks it as nested or not."""
    plain, nested = (re.escape(ATTRIBUTE.pack(0, number)[2:]) for number in (kind, kind | NESTED))
    return rb"(?:%s|%s)" % (plain, nested)


def _padded(size: int) -> int:
    return size + 3 & ~3


def _word(text: str) -> bytes:
    return text.encode() + b"\0"
