"""Node port numbers: a pure function of who asks, who had what, and what cannot be had.

Trusted in this order: who had the number before (`Past.numbers`, the live rules first), a number that still cools down
for its last owner, the Pod's own annotation, which any tenant may have written and which only gets what is free.
Whoever is left starts at a stable hash of its name, so that the same Pod finds the same number again, and probes
upwards. A number that cools for somebody else is taken only when nothing else is left, the longest cooled first.
"""

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from nplconf.model import PodPort, PortRange
from nplconf.plan.cooling import Cooling

_ANNOTATION_CHARACTERS = 256 * 1024


@dataclass(frozen=True, slots=True)
class Previous:
    """What allocation knows beside the cluster: the numbers of before and the node's sockets.

    numbers: who had which number, most trusted source first (live rules, then the state file or the previous plan).
    taken: numbers that cannot be had. cooling: those whose time is not over.
    """

    numbers: tuple[Mapping[PodPort, int], ...] = field(default=(), hash=False)
    taken: frozenset[int] = frozenset()
    cooling: tuple[Cooling, ...] = ()


def allocate(
    asking: Mapping[PodPort, str | None], port_range: PortRange, avoid: frozenset[int], past: Previous
) -> dict[PodPort, int]:
    """A number for each asking (Pod, port), none twice; who is missing in the result finds the range full.

    asking: the Pod's annotation as it is. avoid: numbers that somebody else on the node has or may get.
    """
    pool = _Pool(port_range, avoid | past.taken)
    waiting = sorted(asking)
    given: dict[PodPort, int] = {}
    for source in past.numbers:
        _give(given, waiting, source, pool)
    _give_back(given, asking, past, pool)
    withheld = [number for number in _longest_cooled(past) if pool.take(number)]
    _give(given, waiting, _hints({owner: asking[owner] for owner in waiting if owner not in given}, pool), pool)
    last_resort = iter(withheld)
    for owner in (o for o in waiting if o not in given):
        number = pool.probe(preferred(owner, port_range)) or next(last_resort, None)
        if number is None:
            break
        given[owner] = number
    return given


def preferred(owner: PodPort, port_range: PortRange) -> int:
    """The number that a (Pod, port) has when nothing stands in the way; the same on every node and in every release."""
    return port_range.first + crc32(f"{owner.pod}/{owner.port}".encode()) % len(port_range)


class _Pool:
    """The numbers of a range that nobody has yet.

    _next[i] leads to the first free place at or after i, through places that have gone since; paths are shortened as
    they are walked, so that the last numbers of a range are found as fast as the first.
    """

    def __init__(self, port_range: PortRange, gone: frozenset[int]) -> None:
        self._range = port_range
        self._next = list(range(len(port_range) + 1))
        for number in gone:
            self.take(number)

    def free(self, number: int) -> bool:
        place = number - self._range.first
        return number in self._range and self._next[place] == place

    def take(self, number: int) -> bool:
        """Take a number out; False when it was not free."""
        if not self.free(number):
            return False
        place = number - self._range.first
        self._next[place] = place + 1
        return True

    def probe(self, start: int) -> int | None:
        """Take the first free number from start upwards, then from the range's beginning; None when there is none."""
        end = len(self._range)
        place = self._first(start - self._range.first)
        place = place if place < end else self._first(0)
        if place == end:
            return None
        self._next[place] = place + 1
        return self._range.first + place

    def _first(self, place: int) -> int:
        ahead = self._next
        while ahead[place] != place:
            ahead[place] = ahead[ahead[place]]
            place = ahead[place]
        return place


def _give(given: dict[PodPort, int], waiting: list[PodPort], source: Mapping[PodPort, int], pool: _Pool) -> None:
    """Give those without a number the one that a source says they had, where it is free."""
    for owner in waiting:
        if owner not in given and (number := source.get(owner)) is not None and pool.take(number):
            given[owner] = number


def _give_back(given: dict[PodPort, int], asking: Container[PodPort], past: Previous, pool: _Pool) -> None:
    """Give those without a number the one that they freed last, of those that can be had."""
    for c in sorted(past.cooling, key=lambda c: (c.freed_at, c.number), reverse=True):
        if c.owner in asking and c.owner not in given and pool.take(c.number):
            given[c.owner] = c.number


def _longest_cooled(past: Previous) -> list[int]:
    """The cooling numbers, each once, the one that was freed first in front."""
    freed = {c.number: c.freed_at for c in sorted(past.cooling, key=lambda c: c.freed_at)}
    return sorted(freed, key=lambda number: (freed[number], number))


def _hints(annotations: Mapping[PodPort, str | None], pool: _Pool) -> dict[PodPort, int]:
    """For each (Pod, port) the first number of its annotation that can be had; each text is read once."""
    claims = {text: _claims(text, pool) for text in {text for text in annotations.values() if text}}
    hints = ((owner, claims[text].get(owner.port)) for owner, text in annotations.items() if text)
    return {owner: number for owner, number in hints if number is not None}


def _claims(annotation: str, pool: _Pool) -> dict[int, int]:
    """The first free number per podPort that a text of anybody's making claims; none when it is no annotation."""
    if len(annotation) > _ANNOTATION_CHARACTERS:
        return {}
    try:
        entries = json.loads(annotation)
    except (ValueError, RecursionError):
        return {}
    free = [(port, number) for port, number in _pairs(entries) if pool.free(number)]
    return dict(reversed(free))


def _pairs(entries: Any) -> Iterator[tuple[int, int]]:
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            port, number = entry.get("podPort"), entry.get("nodePort")
            if type(port) is int and type(number) is int:
                yield port, number
