"""Read and write the table `inet nplconf`: read as a whole, written in one transaction for both families."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import FAMILIES, Backend, Family, PortMapping, PortRange
from nplconf.node import libnftables, nftsets
from nplconf.node.halving import Fault, write_most
from nplconf.node.netlink import Channel
from nplconf.node.nftsets import Listed
from nplconf.rules import Goal, Reading, RuleBackend, Synced
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.nftables import lookup, table
from nplconf.rules.nftables.element import Elements
from nplconf.rules.nftables.frame import TABLE
from nplconf.rules.nftables.lookup import differs
from nplconf.rules.nftables.table import NftTable
from nplconf.rules.nftables.transaction import changed_keys, transaction

SYNC = 60.0
"""Seconds for all attempts to sync."""
NOTHING = "add table inet nplconf-probe\ndelete table inet nplconf-probe\n"
"""A transaction without effect. If it is refused, everything is refused."""
FRAMES = "list ruleset inet"
"""Without elements. For `list table` the library reads the elements even if it does not print them."""
LOOK_UP = 20
"""Looking up one element takes as long as listing so many."""
READING = 8.0
"""Seconds in which the table is read again if it changes meanwhile."""


# --- the table -------------------------------------------------------------------------------------------------------


def read() -> Mapping[Family, NftTable]:
    """Return the table as each family sees it: the frame as text, and the elements over netlink, of one generation.

    Raises:
        UnavailableError: There is no answer.
        PermissionDeniedError: The process may not use nftables.
    """
    with _channel() as kernel:
        before = nftsets.generation(kernel)
        while True:
            found = _read(kernel, before)
            after = nftsets.generation(kernel)
            if after == before:
                return found
            before = after


def _read(kernel: Channel, generation: int) -> Mapping[Family, NftTable]:
    frame = table.frame_of(libnftables.listed(FRAMES))
    names = (name for family in FAMILIES for name in table.names(family))
    sets = {name: nftsets.read(kernel, name) for name in names} if frame else {}
    elements = {name: listed.elements for name, listed in sets.items()}
    return table.tables(frame, elements, [name for name, listed in sets.items() if listed.foreign], generation)


def read_after(
    before: Mapping[Family, NftTable], written: Mapping[str, Collection[str]]
) -> Mapping[Family, NftTable] | None:
    """Return the table after a transaction of this process, of which only what it has written is read.

    The kernel counts the transactions of a network namespace. Where there was exactly one since the table was read,
    nothing else can have changed. It takes 0.1 ms for one mapping, reading the whole table 1.2 ms and more.

    Args:
        before: The table as read before, by family.
        written: The keys of the elements that the transaction has changed, by name of their set.

    Returns:
        The table; None where there was another transaction.

    Raises:
        UnavailableError: There is no answer.
        PermissionDeniedError: The process may not use nftables.
    """
    with _channel() as kernel:
        now = nftsets.generation(kernel)
        if any(known.generation != now - 1 for known in before.values()):
            return None
        there = {name: elements for known in before.values() for name, elements in known.sets.items()}
        sets = {name: _elements_after(kernel, name, there[name], keys) for name, keys in written.items()}
        if nftsets.generation(kernel) != now:
            return None
    elements = {name: listed.elements for name, listed in sets.items()}
    unknown = [name for name, listed in sets.items() if listed.foreign]
    return {family: known.after(elements, unknown, now) for family, known in before.items()}


def _elements_after(kernel: Channel, name: str, before: Elements, keys: Collection[str]) -> Listed:
    """Return the elements of a set after a transaction. Only the written ones are read if that is faster."""
    if nftsets.has_intervals(name) or len(keys) * LOOK_UP > len(before):
        return nftsets.read(kernel, name)
    found = nftsets.look_up(kernel, name, keys)
    return Listed({**{key: to for key, to in before.items() if key not in keys}, **found.elements}, found.foreign)


@contextmanager
def _channel() -> Iterator[Channel]:
    try:
        with Channel(nftsets.INET, time.monotonic() + READING) as kernel:
            yield kernel
    except TimeoutError as err:
        raise UnavailableError("nftables: no answer, or the rules change all the time") from err
    except PermissionError as err:
        raise PermissionDeniedError(f"nftables: {err.strerror}") from err
    except OSError as err:
        raise UnavailableError(f"nftables: {err.strerror or err}") from err


class _Writer:
    """The attempts to write the table. found: the table as read last. See `halving.Writer`."""

    left: tuple[str, ...] = ()

    def __init__(self, goal: Goal[NftTable]) -> None:
        self.found = goal.have
        self.fault: Fault = "none"
        self.complaint = ""
        self._goal, self._end = goal, time.monotonic() + SYNC

    def reach(self, keep: Sequence[PortMapping], add: Sequence[PortMapping]) -> bool:
        """See `halving.Writer`."""
        rows = (*keep, *add)
        want = {family: self._goal.build(family, rows) for family in self._goal.have}
        if self._is_reached(want):
            return True
        if time.monotonic() > self._end:
            self.fault, self.complaint = "unavailable", f"gave up after {SYNC:.0f} s; {self.complaint}"
            return False
        fault, problem = self._write(want)
        try:
            # read in any case: a transaction that was interrupted may be in force
            there = (self._read_written(want) if fault == "none" else None) or read()
        except UnavailableError as err:
            fault, problem = "unavailable", str(err)
        else:
            self.found = {family: there[family] for family in self._goal.have}
            if self._is_reached(want):
                return True
        if fault == "none":
            fault, problem = "unseen", f"nftables reported success, but table {TABLE} is not as it was written"
        self.fault, self.complaint = fault, problem
        return False

    def _read_written(self, want: Mapping[Family, NftTable | None]) -> Mapping[Family, NftTable] | None:
        """Return the table after a transaction that has changed only elements; None where it did more."""
        written: dict[str, Collection[str]] = {}
        for family, wanted in want.items():
            have = self.found[family]
            if wanted is None or have.frame != wanted.frame or have.unknown:
                return None
            written |= changed_keys(have, wanted)
        return read_after(self.found, written)

    def _is_reached(self, want: Mapping[Family, NftTable | None]) -> bool:
        """Return whether the kernel has the wanted rules.

        If so, their objects replace the equal ones that were read: identical objects are compared faster.
        """
        if any(differs(self.found[family], table) for family, table in want.items()):
            return False
        self.found = {
            family: self.found[family].known_as(table) if table else self.found[family]
            for family, table in want.items()
        }
        return True

    def _write(self, want: Mapping[Family, NftTable | None]) -> tuple[Fault, str]:
        try:
            text = transaction([(self.found[family], table) for family, table in want.items()])
            done = libnftables.run(text)
        except ValueError as err:
            return "refused", str(err)
        except UnavailableError as err:
            return "unavailable", str(err)
        if done.code == 0:
            return "none", ""
        return "busy" if libnftables.is_busy(done) else "refused", f"nftables: {libnftables.complaint(done)}"

    def takes_anything(self) -> bool:
        """See `halving.Writer`."""
        try:
            return libnftables.run(NOTHING).code == 0
        except UnavailableError:
            return False


# --- the driver ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NftablesDriver:
    """nftables as a `RuleDriver`."""

    @property
    def name(self) -> Backend:
        """See `RuleDriver`."""
        return "nftables"

    @property
    def rules(self) -> RuleBackend[NftTable]:
        """See `RuleDriver`."""
        return lookup

    def read(self, *, whole: bool = False) -> Reading[NftTable]:
        """See `RuleDriver`. The table is always read as a whole. If it cannot be read, both families are unreadable."""
        del whole
        try:
            return Reading(read())
        except UnavailableError as err:
            return Reading({}, dict.fromkeys(FAMILIES, str(err)))

    def sync(self, goal: Goal[NftTable]) -> Synced[NftTable]:
        """See `RuleDriver`."""
        writer = _Writer(goal)
        refused, complaints = write_most(writer, goal.keep, goal.add)
        errors = tuple((family, text) for text in complaints for family in goal.have)
        return Synced(writer.found, refused, errors)

    def foreign(self, found: Mapping[Family, NftTable], ports: PortRange) -> tuple[ForeignRule, ...]:
        """See `RuleDriver`. All base chains of the table belong to nplconf."""
        del found, ports
        return ()

    def present(self) -> tuple[Family, ...]:
        """See `RuleDriver`."""
        if not libnftables.installed():
            return ()
        try:
            found = read()
        except (UnavailableError, PermissionDeniedError):
            return ()
        return tuple(family for family, table in found.items() if not table.empty)

    def clear(self, family: Family) -> str:
        """See `RuleDriver`."""
        try:
            synced = self.sync(Goal({family: read()[family]}, lambda *_: None))
        except (UnavailableError, PermissionDeniedError) as err:
            return str(err)
        return "; ".join(message for _, message in synced.errors)
