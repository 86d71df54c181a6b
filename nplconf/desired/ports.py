"""Node ports: a pure function of the requests, earlier allocations, and the ports that are not available.

An owner (a Pod port) gets, in this order: the port that it has (`Previous.current`, live rules first), and a port that
cools down for it. These are given whatever else is asked for. All other owners are new requests; `shares` decides which
of them get a port. A new request prefers the port that its owner had before, then the one that its annotation claims,
then a stable hash of its name, from which it probes upwards. A cooling port is never given to another namespace. Within
the namespace it is the last resort, and the one that has cooled longest comes first.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
from zlib import crc32

from nplconf.desired.hints import hints
from nplconf.desired.shares import Stock, share_out
from nplconf.model import PodPort, PortMapping, PortRange
from nplconf.plan.cooling import Cooling
from nplconf.plan.live import numbers


@dataclass(frozen=True)
class Previous:
    """The input of the allocation beside the cluster.

    Attributes:
        numbers: The port of each owner from other sources than the two below, the most trusted source first.
        taken: Ports that are not available.
        cooling: Ports that still cool down.
        before: Ports that owners had earlier.
        live: The live mappings, the most trusted source. A plan has these objects where its own would be equal.
        planned: The mappings of the last plan, the second source.
        freed_at: When the ports begin to cool down that this run frees; None: they do not.
        beside: How many ports each namespace has beside those of the owners that ask.

    """

    numbers: tuple[Mapping[PodPort, int], ...] = field(default=(), hash=False)
    taken: frozenset[int] = frozenset()
    cooling: tuple[Cooling, ...] = ()
    before: Mapping[PodPort, int] = field(default_factory=dict, hash=False)
    live: tuple[PortMapping, ...] = ()
    planned: tuple[PortMapping, ...] = ()
    freed_at: float | None = None
    beside: Mapping[str, int] = field(default_factory=dict, hash=False)

    @cached_property
    def current(self) -> tuple[Mapping[PodPort, int], ...]:
        """The port that each owner has, the most trusted source first."""
        of_live = numbers(self.live)
        of_plan = of_live if self.planned == self.live else numbers(self.planned)
        return (of_live, of_plan, *self.numbers)

    @property
    def sources(self) -> tuple[Mapping[PodPort, int], ...]:
        """All sources of earlier ports, the most trusted first."""
        return (*self.current, self.before)

    @property
    def for_last_owners(self) -> tuple[Cooling, ...]:
        """The ports that cool down, and those in use: one that is freed now goes to no other owner in this run."""
        if self.freed_at is None:
            return self.cooling
        in_use: dict[PodPort, int] = {}
        for source in reversed(self.current):
            in_use |= source
        freed = [Cooling(number, owner, self.freed_at) for owner, number in in_use.items()]
        used = set(in_use.values())
        return (*(c for c in self.cooling if c.number not in used), *freed)


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
    for source in past.current:
        _give(given, order, source, pool)
    free = [c for c in past.for_last_owners if pool.free(c.number)]
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
    held.update(past.beside)
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

    _next[number] leads to the first free number after one that is taken, through numbers that have been taken since.
    Paths are shortened when they are walked, so that the last ports of a range are found as fast as the first.
    """

    def __init__(self, port_range: PortRange, gone: frozenset[int]) -> None:
        self._range = port_range
        self._next = {number: number + 1 for number in gone.intersection(port_range.numbers)}

    def free(self, number: int) -> bool:
        """Return whether a port is free."""
        return number not in self._next and number in self._range

    def take(self, number: int) -> bool:
        """Take a port out; return False if it was not free."""
        if not self.free(number):
            return False
        self._next[number] = number + 1
        return True

    def count(self) -> int:
        """Return how many ports are free."""
        return len(self._range) - len(self._next)

    def probe(self, owner: PodPort) -> int | None:
        """Take the first free port from the preferred one upwards, then from the beginning; None if there is none."""
        found = self._first(preferred(owner, self._range))
        number = found if found <= self._range.last else self._first(self._range.first)
        return number if self.take(number) else None

    def _first(self, number: int) -> int:
        ahead, passed = self._next, []
        while number in ahead:
            passed.append(number)
            number = ahead[number]
        ahead.update(dict.fromkeys(passed, number))
        return number


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
