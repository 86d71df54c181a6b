"""The one question to the hold daemon, and its answer: a line each, over a stream socket.

The question is `holds 1` (1 is the version); the answer is JSON:

    {"version": 1, "range": {"first": 61000, "last": 62000}, "held": 2001,
     "taken": [{"number": 61005, "protocol": "tcp"}]}

A number of the range that is not in `taken` is held for tcp and udp. `held` counts sockets. Any other question is
answered by `{"version": 1, "error": "..."}`. The JSON is written by hand: it is made of numbers and fixed words.
"""

from collections.abc import Iterable

from nplconf.hold.sockets import Identity
from nplconf.model import PortRange

VERSION = 1
QUESTION = b"holds %d" % VERSION
MAX_QUESTION = 64
"""Bytes that are read of a question, at most."""


def answer(port_range: PortRange, held: int, taken: Iterable[Identity]) -> bytes:
    """What is held, as one line."""
    entries = ", ".join(f'{{"number": {number}, "protocol": "{protocol}"}}' for number, protocol in taken)
    text = (
        f'{{"version": {VERSION}, "range": {{"first": {port_range.first}, "last": {port_range.last}}}, '
        f'"held": {held}, "taken": [{entries}]}}\n'
    )
    return text.encode("ascii")


def not_understood() -> bytes:
    """The answer to what is no question of this version."""
    return b'{"version": %d, "error": "the question is: %s"}\n' % (VERSION, QUESTION)
