"""The one request to the hold daemon, and its response: a line each, over a stream socket. Used by both ends.

The request is `holds 1` (1 is the version). The response is JSON:

    {"version": 1, "range": {"first": 61000, "last": 62000}, "held": 2001,
     "taken": [{"number": 61005, "protocol": "tcp"}]}

A port of the range that is not in `taken` is held for TCP and UDP. A daemon that also holds SCTP adds the key
`"protocols": ["tcp", "udp", "sctp"]`. `held` counts sockets. The response to any other request is
`{"version": 1, "error": "..."}`. The daemon writes the JSON by hand, since it has only numbers and fixed words. Only a
client imports `json`.
"""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from nplconf.model import PROTOCOLS, USUAL_PROTOCOLS, PortRange, Protocol, Taken

VERSION = 1
QUESTION = b"holds %d" % VERSION
MAX_QUESTION = 64
"""Bytes. The daemon reads no more of a request."""
MAX_ANSWER = 16 << 20
"""Bytes. A client reads no more of a response. Three times the size of one with every port taken."""


def daemon() -> str:
    """Return what to restart when the daemon does not answer: a unit, or a Pod if this process runs in one."""
    in_pod = os.environ.get("KUBERNETES_SERVICE_HOST")
    return "the Pod of the DaemonSet nplconf-hold" if in_pod else "nplconf-hold.service"


class UnreadableAnswerError(Exception):
    """An invalid response, or one of another version. The message says why, and what to do."""


class Answer(NamedTuple):
    """What the daemon holds: every port of the range that is not in `taken`."""

    port_range: PortRange
    taken: tuple[Taken, ...]
    protocols: tuple[Protocol, ...] = USUAL_PROTOCOLS


def answer(
    port_range: PortRange,
    held: int,
    taken: Iterable[tuple[int, str]],
    protocols: tuple[Protocol, ...] = USUAL_PROTOCOLS,
) -> bytes:
    """Return the response as one line."""
    entries = ", ".join(f'{{"number": {number}, "protocol": "{protocol}"}}' for number, protocol in taken)
    names = ", ".join(f'"{protocol}"' for protocol in protocols)
    known = f', "protocols": [{names}]' if protocols != USUAL_PROTOCOLS else ""
    text = (
        f'{{"version": {VERSION}, "range": {{"first": {port_range.first}, "last": {port_range.last}}}, '
        f'"held": {held}, "taken": [{entries}]{known}}}\n'
    )
    return text.encode("ascii")


def not_understood() -> bytes:
    """Return the response to a request that is invalid or of another version."""
    return b'{"version": %d, "error": "the question is: %s"}\n' % (VERSION, QUESTION)


def read(line: bytes) -> Answer:
    """Parse a response. Raises UnreadableAnswerError."""
    import json

    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswerError(_NOT_UNDERSTOOD) from error
    if not isinstance(data, dict):
        raise UnreadableAnswerError(_NOT_UNDERSTOOD)
    if data.get("version") != VERSION:
        raise UnreadableAnswerError(f"it speaks another version: restart {daemon()}")
    if "error" in data:
        raise UnreadableAnswerError(f"it does not understand the question: restart {daemon()}")
    try:
        held = _port_range(data["range"])
        taken = tuple(_taken(entry, held) for entry in data["taken"])
        return Answer(held, taken, _protocols(data.get("protocols", list(USUAL_PROTOCOLS))))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableAnswerError(_NOT_UNDERSTOOD) from error


_NOT_UNDERSTOOD = "its answer is not understood"


def _number(value: Any) -> int:
    if type(value) is not int or not 0 < value < 1 << 16:
        raise ValueError("no port number")
    return value


def _port_range(value: Any) -> PortRange:
    held = PortRange(_number(value["first"]), _number(value["last"]))
    if held.first > held.last:
        raise ValueError("no range")
    return held


def _protocols(value: Any) -> tuple[Protocol, ...]:
    return tuple(protocol for protocol in PROTOCOLS if protocol in list(value))


def _taken(value: Any, held: PortRange) -> Taken:
    number, protocol = _number(value["number"]), value["protocol"]
    if number not in held or protocol not in PROTOCOLS:
        raise ValueError("not of the range")
    return Taken(number, protocol)
