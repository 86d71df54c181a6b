"""The config file: long options in camelCase, checked and turned into the values that the commands work with.

Every run on a node reads it, so it is checked by the table below and not by jsonschema (70 ms); that both say the same
is a test's business. schemas/config.schema.json is what editors use.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from nplconf.errors import BadConfigError, BadDataError
from nplconf.files.reading import MissingFileError, read_text
from nplconf.files.strict_yaml import Document, Limits, Path, load, printable, show_path, shown
from nplconf.model import FAMILIES, PortRange

DEFAULT_FILE = "/etc/nplconf/config.yaml"
_LIMITS = Limits(characters=1024 * 1024, depth=4, entries=10_000)
_TOLD = 10
"""More problems than these are not told at once: the error is one line."""


def read(path: str = DEFAULT_FILE, *, required: bool = True) -> dict[str, object]:
    """The options that a config file sets, by key; portRange as a PortRange. {} where it is missing and not required.

    Raises BadConfigError that names file, line and key of everything that is wrong.
    """
    try:
        text = read_text(path, _LIMITS.characters)
    except MissingFileError as error:
        if required:
            raise BadConfigError(str(error)) from None
        return {}
    except BadDataError as error:
        raise BadConfigError(str(error)) from None
    return parse(text, path)


def parse(text: str, file: str) -> dict[str, object]:
    """The options that the text of a config file sets, as `read`. An empty one sets none."""
    document = load(text, source=file, limits=_LIMITS)
    options, faults = _options(document)
    wrong = [(problem.line, problem.path, problem.message) for problem in document.problems]
    wrong += [(document.line(path), show_path(path), message) for path, message in faults]
    if wrong:
        raise BadConfigError(f"{printable(file)}: {_told(sorted(wrong))}")
    return options


def salvage(path: str) -> dict[str, object]:
    """The options that are right in a config file, whatever else is wrong with it; {} where it cannot be read."""
    try:
        return _options(load(read_text(path, _LIMITS.characters), source=path, limits=_LIMITS))[0]
    except BadDataError:
        return {}


def check(key: str, value: object) -> object:
    """The value of an option from plain data. Raises ValueError that says what it must be."""
    return OPTIONS[key].from_data(value)


def from_text(key: str, text: str) -> object:
    """The value of an option from an argument or an environment variable. Raises ValueError as `check`."""
    return check(key, OPTIONS[key].data_of(text))


def port_range(text: object) -> PortRange:
    """61000-62000 -> PortRange. Raises ValueError."""
    match = _RANGE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"must be FIRST-LAST such as 61000-62000, not {shown(text)}")
    first, last = int(match[1]), int(match[2])
    if not first <= last <= _LAST_PORT:
        raise ValueError(f"must be two numbers from 1 to {_LAST_PORT}, the first not above the last, not {text}")
    return PortRange(first, last)


_RANGE = re.compile(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})")
_LAST_PORT = 65535
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def _options(document: Document) -> tuple[dict[str, object], list[tuple[Path, str]]]:
    """What the file sets, and (path, message) of what is wrong."""
    data = {} if document.value is None else document.value
    if not isinstance(data, dict):
        return {}, [((), f"must be a mapping, not {shown(data)}")]
    options: dict[str, object] = {}
    faults: list[tuple[Path, str]] = []
    for key, value in data.items():
        if key not in OPTIONS:
            faults.append(((key,), f"unknown key; known are {', '.join(OPTIONS)}"))
            continue
        try:
            options[key] = check(key, value)
        except ValueError as error:
            faults.append(((key,), str(error)))
    return options, faults


def _told(wrong: list[tuple[int, str, str]]) -> str:
    said = [f"line {line}: {path}: {message}" if path else f"line {line}: {message}" for line, path, message in wrong]
    more = [f"{len(said) - _TOLD} more"] if len(said) > _TOLD else []
    return "; ".join(said[:_TOLD] + more)


# --- the kinds of options --------------------------------------------------------------------------------------------


class Option(NamedTuple):
    """from_data: plain data -> the value, or ValueError. data_of: an argument's text -> plain data."""

    from_data: Callable[[Any], object]
    data_of: Callable[[str], object] = str


def plain_text(value: object) -> str:
    """A value that is a text of one line. Raises ValueError."""
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise ValueError(f"must be a text, not {shown(value)}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a list of texts, not {shown(value)}")
    return tuple(plain_text(entry) for entry in value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {shown(value)}")  # noqa: TRY004 - one kind of error for all
    return value


def _integer_of(text: str) -> int | str:
    return int(text) if _INTEGER.fullmatch(text) else text


def _integer(low: int, high: int) -> Option:
    def from_data(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be an integer from {low} to {high}, not {shown(value)}")
        return value

    return Option(from_data, _integer_of)


def _choice(*words: str) -> Option:
    def from_data(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {shown(value)}")
        return value

    return Option(from_data)


def _node_ips(value: object) -> dict[str, str]:
    from nplconf.addresses import address_fault

    if not isinstance(value, dict) or not all(isinstance(address, str) for address in value.values()):
        raise ValueError(f"must be a mapping such as {{IPv4: 203.0.113.7}}, not {shown(value)}")
    for family, address in value.items():
        if family not in FAMILIES:
            raise ValueError(f"unknown family {shown(family)}; known are {', '.join(FAMILIES)}")
        if fault := address_fault(address, family):
            raise ValueError(f"{shown(address)} {fault}")
    return value


_TEXT = Option(plain_text)
_FLAG = Option(_flag, lambda text: {"true": True, "1": True, "false": False, "0": False}.get(text, text))

OPTIONS: dict[str, Option] = {
    "node": _TEXT,
    "clusterState": Option(_texts, lambda text: [text]),
    "writeBack": _TEXT,
    "kubeconfig": _TEXT,
    "portRange": Option(port_range),
    "nodeIPs": Option(_node_ips),
    "mode": _choice("auto", "reviewed"),
    "planDir": _TEXT,
    "exact": _FLAG,
    "policy": _TEXT,
    "stateDir": _TEXT,
    "holdSocket": _TEXT,
    "noHold": _FLAG,
    "noCluster": _FLAG,
    "backend": _choice("auto", "nft", "legacy"),
    "maxDelete": _integer(0, 100),
    "allowEmpty": _FLAG,
    "coolDown": _integer(0, 2**31 - 1),
    "textfile": _TEXT,
    "noEvents": _FLAG,
    "force": _FLAG,
    "output": _choice("table", "json", "yaml", "markdown"),
    "color": _choice("auto", "always", "never"),
    "quiet": _FLAG,
    "verbose": _FLAG,
    "logFormat": _choice("text", "json"),
}
"""Every key of the config file, and what its value may be."""
