"""Node ports: a pure function of the requests, earlier allocations, and the ports that are not available.

An owner (a Pod port) gets, in this order: the port that it has (`Previous.numbers`, live rules first), and a port that
cools down for it. These are given whatever else is asked for. All other owners are new requests; `shares` decides which
of them get a port. A new request prefers the port that its owner had before, then the one that its annotation claims,
then a stable hash of its name, from which it probes upwards. A cooling port is never given to another namespace. Within
the namespace it is the last resort, and the one that has cooled longest comes first.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

from nplconf.desired.hints import hints
from nplconf.desired.shares import Stock, share_out
from nplconf.model import PodPort, PortRange
from nplconf.plan.cooling import Cooling


@dataclass(frozen=True, slots=True)
class Previous:
    """The input of the allocation beside the cluster.

    Attributes:
        numbers: The port of each owner, the most trusted source first: live rules, then the state or the last plan.
        taken: Ports that are not available.
        cooling: Ports that still cool down.
        before: Ports that owners had earlier.

    """

    numbers: tuple[Mapping[PodPort, int], ...] = field(default=(), hash=False)
    taken: frozenset[int] = frozenset()
    cooling: tuple[Cooling, ...] = ()
    before: Mapping[PodPort, int] = field(default_factory=dict, hash=False)

    @property
    def sources(self) -> tuple[Mapping[PodPort, int], ...]:
        """All sources of earlier ports, the most trusted first."""
        return (*self.numbers, self.before)


class Allocation(NamedTuple):
    """given: the ports. over_share: owners without one because their namespace has its share already."""

    given: dict[PodPort, int]
    over_share: frozenset[PodPort] = frozenset()


def allocate(
    asking: Mapping[PodPort, str | None],
    port_range: PortRange,
    avoid: frozenset[int],
    past: Previous,
    most: int | None = None,
) -> Allocation:
    """Give each owner a port, none twice. An owner without one that is not over its share finds the range full.

    Args:
        asking: the owners, each with the annotation of its Pod as it is.
        port_range: the ports to give.
        avoid: ports that others on the node use or may get.
        past: earlier allocations.
        most: how many ports one namespace may have. No port in use is taken away for it.

    """
    pool = _Pool(port_range, avoid | past.taken)
    given: dict[PodPort, int] = {}
    order = sorted(asking)
    for source in past.numbers:
        _give(given, order, source, pool)
    free = [c for c in past.cooling if pool.free(c.number)]  # the ports of mappings in use are taken
    _give_back(given, asking, free, pool)
    cooling = _set_aside(free, pool)
    waiting = {owner: asking[owner] for owner in order if owner not in given}
    full_share = _give_new(given, waiting, cooling, pool, past, most) if waiting else frozenset()
    over = (owner for owner in waiting if owner not in given and owner.namespace in full_share)
    return Allocation(given, frozenset(over))


def preferred(owner: PodPort, port_range: PortRange) -> int:
    """Return the port that an owner has if nothing prevents it. It is the same on every node and in every release."""
    return port_range.first + crc32(f"{owner.pod}/{owner.port}".encode()) % len(port_range)


def _give_new(
    given: dict[PodPort, int],
    waiting: Mapping[PodPort, str | None],
    cooling: Mapping[str, list[int]],
    pool: "_Pool",
    past: Previous,
    most: int | None,
) -> frozenset[str]:
    """Give ports to new requests while there are any. Return the namespaces that would need a larger share."""
    claimed = hints(waiting, pool.free)
    order = sorted(waiting, key=lambda owner: (owner not in past.before, owner not in claimed.numbers, owner))
    held = Counter(owner.namespace for owner in given)
    shared = share_out(order, Stock(pool.count(), cooling, held, most))
    given |= shared.reused
    fresh = sorted(shared.fresh)
    _give(given, fresh, past.before, pool)
    _give(given, fresh, claimed.numbers, pool)
    # a contested port is given last; otherwise a claimant could get it by a name with the right hash
    contested = iter([number for number in claimed.contested if pool.take(number)])
    for owner in (o for o in fresh if o not in given):
        number = pool.probe(owner)
        given[owner] = next(contested) if number is None else number
    return shared.over


class _Pool:
    """The free ports of a range.

    _next[i] leads to the first free place at or after i, through places that have been taken since. Paths are shortened
    when they are walked, so that the last ports of a range are found as fast as the first.
    """

    def __init__(self, port_range: PortRange, gone: frozenset[int]) -> None:
        self._range = port_range
        self._first_number, self._size = port_range.first, len(port_range)
        self._next = list(range(len(port_range) + 1))
        self._count = len(port_range)
        for number in gone:
            self.take(number)

    def free(self, number: int) -> bool:
        """Return whether a port is free."""
        place = number - self._first_number
        return 0 <= place < self._size and self._next[place] == place

    def take(self, number: int) -> bool:
        """Take a port out; return False if it was not free."""
        if not self.free(number):
            return False
        place = number - self._first_number
        self._next[place] = place + 1
        self._count -= 1
        return True

    def count(self) -> int:
        """Return how many ports are free."""
        return self._count

    def probe(self, owner: PodPort) -> int | None:
        """Take the first free port from the preferred one upwards, then from the beginning; None if there is none."""
        end = len(self._range)
        place = self._first(preferred(owner, self._range) - self._range.first)
        place = place if place < end else self._first(0)
        if place == end:
            return None
        self._next[place] = place + 1
        self._count -= 1
        return self._range.first + place

    def _first(self, place: int) -> int:
        ahead = self._next
        while ahead[place] != place:
            ahead[place] = ahead[ahead[place]]
            place = ahead[place]
        return place


def _give(given: dict[PodPort, int], waiting: Iterable[PodPort], source: Mapping[PodPort, int], pool: _Pool) -> None:
    """Give each owner without a port the one that a source names, if it is free."""
    for owner in waiting:
        if owner not in given and (number := source.get(owner)) is not None and pool.take(number):
            given[owner] = number


def _give_back(given: dict[PodPort, int], asking: Container[PodPort], cooling: Iterable[Cooling], pool: _Pool) -> None:
    """Give each owner without a port the free one that it released last."""
    own = [c for c in cooling if c.owner in asking and c.owner not in given]
    for c in sorted(own, key=lambda c: (c.freed_at, c.number), reverse=True):
        if c.owner not in given and pool.take(c.number):
            given[c.owner] = c.number


def _set_aside(cooling: Iterable[Cooling], pool: _Pool) -> dict[str, list[int]]:
    """Take the cooling ports out of the pool: by the namespace that had each last, the longest cooled first."""
    last = {c.number: c for c in sorted(cooling, key=lambda c: (c.freed_at, c.owner))}
    found: dict[str, list[int]] = {}
    for c in sorted(last.values(), key=lambda c: (c.freed_at, c.number)):
        if pool.take(c.number):
            found.setdefault(c.owner.namespace, []).append(c.number)
    return found
