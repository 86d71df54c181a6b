"""The kinds of option values, each with its parser and its JSON schema.

The config loader, the environment and the flags all use a kind's parser, and the schema for editors uses its `schema`.
Tests compare the two on generated values.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nplconf.files.strict_yaml import shown
from nplconf.model import FAMILIES, Family, PortRange
from nplconf.spelling import suggestion


class Kind(NamedTuple):
    """One kind of value.

    Attributes:
        parse: Turns plain data (from YAML) into the value. Raises ValueError with the valid values.
        schema: The same rule as JSON schema.
        metavar: The value in help texts; "" for a switch, which has none.
        data_of: Turns the text of an argument or environment variable into plain data for `parse`.
        many: The flag may be repeated; its value is the list of all.
    """

    parse: Callable[[Any], object]
    schema: Mapping[str, object]
    metavar: str = ""
    data_of: Callable[[str], object] = str
    many: bool = False


def plain_text(value: object) -> str:
    """Return a text of one line. Raises ValueError."""
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise ValueError(f"must be a text, not {shown(value)}")
    return value


def port_range(text: object) -> PortRange:
    """Return the range of a text such as 61000-62000. Raises ValueError."""
    match = _RANGE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"must be FIRST-LAST such as 61000-62000, not {shown(text)}")
    first, last = int(match[1]), int(match[2])
    if not first <= last <= _LAST_PORT:
        raise ValueError(f"must be two numbers from 1 to {_LAST_PORT}, the first not above the last, not {text}")
    return PortRange(first, last)


_RANGE = re.compile(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})")
_ADDRESS = re.compile(r"([^\[\]:\s]+|\[[0-9a-fA-F:.]+\]):([1-9][0-9]{0,4})")
_LAST_PORT = 65535
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_ONE_LINE = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$(?!\\n)"


def text(title: str, metavar: str) -> Kind:
    """Return the kind of a text of one line."""
    return Kind(plain_text, {"title": title, "type": "string", "pattern": _ONE_LINE}, metavar)


def integer(title: str, metavar: str, low: int, high: int) -> Kind:
    """Return the kind of an integer from `low` to `high`."""

    def parse(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be an integer from {low} to {high}, not {shown(value)}")
        return value

    return Kind(parse, {"title": title, "type": "integer", "minimum": low, "maximum": high}, metavar, _integer_of)


def choice(*words: str, aliases: Mapping[str, str] | None = None) -> Kind:
    """Return the kind of one of several words. An alias is accepted and replaced by its word."""
    other = dict(aliases or {})
    known = (*words, *other)

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            hint = suggestion(value, known) if isinstance(value, str) else ""
            raise ValueError(f"must be one of {', '.join(known)}, not {shown(value)}{hint}")
        return other.get(value, value)

    return Kind(parse, {"title": "one of these words", "type": "string", "enum": list(known)}, "|".join(words))


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a list of texts, not {shown(value)}")
    return tuple(plain_text(entry) for entry in value)


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {shown(value)}")  # noqa: TRY004 - one kind of error for all faults
    return value


def _address(value: object) -> str:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > _LAST_PORT:
        raise ValueError(f"must be ADDRESS:PORT such as 127.0.0.1:9781, not {shown(value)}")
    return match[0]


def _integer_of(text: str) -> int | str:
    return int(text) if _INTEGER.fullmatch(text) else text


def _node_ips(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(map(_is_choice, value.values())):
        raise ValueError(f"must be a mapping such as {{IPv4: 203.0.113.7}}, not {shown(value)}")
    found: dict[str, str] = {}
    for family, choice in value.items():
        if family not in FAMILIES:
            raise ValueError(f"unknown family {shown(family)}; known are {', '.join(FAMILIES)}")
        parts = choice if isinstance(choice, list) else choice.split("|")
        for part in parts:
            _check_choice(part, family, alone=len(parts) == 1)
        found[family] = "|".join(parts)
    return found


ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname")
"""The types of a Node's addresses that can be IP addresses."""


def _is_choice(choice: object) -> bool:
    """Return whether a value is a text, or a list of address types and networks."""
    if not isinstance(choice, list):
        return isinstance(choice, str)
    return bool(choice) and all(isinstance(part, str) and (part in ADDRESS_TYPES or "/" in part) for part in choice)


def _check_choice(part: str, family: Family, *, alone: bool) -> None:
    """Raise ValueError for anything but an address type or network. alone: also allow an address."""
    from nplconf.addresses import address_fault, family_of, network_fault

    if part in ADDRESS_TYPES:
        return
    if "/" in part:
        fault = network_fault(part) or (None if family_of(part) == family else f"is not an {family} network")
    elif alone:
        fault = address_fault(part, family)
    else:
        fault = f"is not a network, and not one of {', '.join(ADDRESS_TYPES)}"
    if fault:
        raise ValueError(f"{shown(part)} {fault}{suggestion(part, ADDRESS_TYPES)}")


def _command_of(text: str) -> object:
    """Return the words of a command that is given as one text. Return the text if it cannot be parsed."""
    import json
    import shlex

    try:
        return json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    except ValueError:
        return text


ADDRESS = Kind(
    _address,
    {
        "title": "an address and a port, such as 127.0.0.1:9781 or [::1]:9781",
        "type": "string",
        "pattern": "^([^\\[\\]:\\s]+|\\[[0-9a-fA-F:.]+\\]):[1-9][0-9]{0,4}$(?!\\n)",
    },
    "ADDRESS:PORT",
)
NAME = text("a name", "NAME")
FILE = text("a file", "FILE")
DIRECTORY = text("a directory", "DIR")
SOCKET = text("a socket", "SOCKET")
FILES = Kind(
    _texts,
    {
        "title": "a list of files",
        "type": "array",
        "minItems": 1,
        "items": {"description": "A file, or - for stdin.", **FILE.schema},
    },
    "FILE",
    lambda text: [text],
    many=True,
)
COMMAND = Kind(
    _texts,
    {
        "title": "a program and its arguments",
        "type": "array",
        "minItems": 1,
        "items": {"description": "The program, then each argument.", **FILE.schema},
    },
    "COMMAND",
    _command_of,
)
"""In a flag or variable: a JSON list, or words separated by spaces, with quotes as in a shell."""
SWITCH = Kind(
    _switch,
    {"title": "true or false", "type": "boolean"},
    data_of=lambda text: {"true": True, "1": True, "false": False, "0": False}.get(text, text),
)
PERCENT = integer("a percentage", "PERCENT", 0, 100)
SECONDS = integer("a number of seconds", "SECONDS", 0, 2**31 - 1)
PERIOD = integer("a number of seconds", "SECONDS", 1, 2**31 - 1)
PORTS = Kind(
    port_range,
    {
        "title": "a range such as 61000-62000",
        "type": "string",
        "pattern": "^[1-9][0-9]{0,4}-[1-9][0-9]{0,4}$(?!\\n)",
    },
    "FIRST-LAST",
)


def _choice_of(address: str, network: str, title: str, description: str) -> Mapping[str, object]:
    """Return the schema of one family's address. address, network: regular expressions without anchors."""
    part = f"({'|'.join(ADDRESS_TYPES)}|{network})"
    return {
        "title": title,
        "description": description,
        "anyOf": [
            {"type": "string", "pattern": f"^({address}|{part}(\\|{part})*)$(?!\\n)"},
            {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": f"^{part}$(?!\\n)"}},
        ],
    }


_FIRST = " Or the types of the Node's addresses and networks, the preferred first: InternalIP|ExternalIP, "
NODE_IPS = Kind(
    _node_ips,
    {
        "title": "addresses per IP family",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "IPv4": _choice_of(
                "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
                "[0-9.]{7,15}/[0-9]{1,2}",
                "an IPv4 address, or how it is chosen",
                f"Dotted decimal, such as 203.0.113.7.{_FIRST}192.0.2.0/24.",
            ),
            "IPv6": _choice_of(
                "[0-9a-f:]{2,39}",
                "[0-9a-f:]{2,39}/[0-9]{1,3}",
                "an IPv6 address, or how it is chosen",
                f"In its shortest form and in lower case, such as 2001:db8::7; without a zone.{_FIRST}2001:db8::/64.",
            ),
        },
    },
)
