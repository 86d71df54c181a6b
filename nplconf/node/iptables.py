"""Write the rules of one iptables kind and family, and drive both kinds as a `RuleDriver`.

The rules are written in one transaction. The exit code of iptables-restore proves nothing, so the rules are read again
after each transaction.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import FAMILIES, Backend, Family, IptablesKind, PortMapping, PortRange
from nplconf.node import command, foreign, iptables_read, libnftables, native, nft
from nplconf.node.backend import program
from nplconf.node.halving import Fault, write_most
from nplconf.node.iptables_read import ENTRIES
from nplconf.rules import Goal, Reading, RuleBackend, Synced
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.rule import CHAIN
from nplconf.rules.iptables.table import ENTRY, NatTable
from nplconf.rules.iptables.taking import Origin, taking
from nplconf.rules.iptables.transaction import obsolete, removal, transaction
from nplconf.rules.iptables.tree import differs
from nplconf.rules.native import BaseChain

WRITE = 20.0
LOCK = 5
"""Seconds that iptables itself waits for its lock."""
SYNC = 60.0
"""Seconds for all attempts to sync one family."""
NOTHING = "*nat\n:NPLCONF-PROBE - [0:0]\n-X NPLCONF-PROBE\nCOMMIT\n"
"""A transaction without effect. If it is refused, everything is refused."""

Build = Callable[[Sequence[PortMapping]], NatTable | None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of a transaction. complaint: the error message of iptables."""

    fault: Fault = "none"
    complaint: str = ""


# --- writing ---------------------------------------------------------------------------------------------------------


class _Writer:
    """The attempts to write one family. See `halving.Writer`.

    Attributes:
        table: The rules as read last.
    """

    def __init__(self, family: Family, backend: IptablesKind, build: Build, have: NatTable, end: float) -> None:
        self.table = have
        self.fault: Fault = "none"
        self.complaint = ""
        self.left: tuple[str, ...] = ()
        self._insert = True
        self._family, self._backend, self._build, self._end = family, backend, build, end

    def reach(self, keep: Sequence[PortMapping], add: Sequence[PortMapping]) -> bool:
        """See `halving.Writer`."""
        want = self._build((*keep, *add))
        if not differs(self.table, want):
            return True
        if time.monotonic() > self._end:
            self.fault, self.complaint = "unavailable", f"gave up after {SYNC:.0f} s; {self.complaint}"
            return False
        done = self._write(want)
        try:
            # read in any case: a transaction that was killed may be in force
            names = want.chains if want else ()
            self.table = iptables_read.read(self._family, self._backend, whole=want is None, expected=names)
        except UnavailableError as err:
            done = Attempt("unavailable", str(err))
        else:
            if not differs(self.table, want):
                return True
        if done.fault == "none":
            done = Attempt("unseen", "iptables reported success, but the rules are not there")
        self.fault, self.complaint = done.fault, done.complaint
        self._insert = False  # another program may have moved the places
        return False

    def _write(self, want: NatTable | None) -> Attempt:
        text_of = partial(transaction, want, self.table, insert=self._insert)
        try:
            text = text_of()
        except ValueError as err:
            return Attempt("refused", str(err))
        done = write(self._family, self._backend, text)
        gone = obsolete(want, self.table)
        if done.fault != "refused" or not gone:
            return done
        # an obsolete chain cannot be deleted while a foreign rule jumps to it; all other rules are written without it
        if write(self._family, self._backend, text_of(sweep=False)).fault != "none":
            return done
        stuck = self._stuck(gone)
        if not stuck:
            return Attempt()
        self.left = (
            f"a foreign rule leads to {', '.join(stuck)}, which cannot be deleted and is empty: delete the rule",
        )
        return Attempt("unseen", self.left[0])

    def _stuck(self, chains: Sequence[str]) -> list[str]:
        """Delete empty chains. Return those that cannot be deleted."""
        if not chains or write(self._family, self._backend, removal(chains)).fault == "none":
            return []
        if len(chains) == 1 or time.monotonic() > self._end:
            return list(chains)
        half = len(chains) // 2
        return self._stuck(chains[:half]) + self._stuck(chains[half:])

    def takes_anything(self) -> bool:
        """See `halving.Writer`."""
        return write(self._family, self._backend, NOTHING).fault == "none"


def write(family: Family, backend: IptablesKind, text: str) -> Attempt:
    """Run one transaction. Whether it is in force only a new reading shows.

    Raises:
        PermissionDeniedError: The process may not write rules.
    """
    if not text:
        return Attempt("unavailable", "the rules differ from the wanted ones, and no iptables command can fix it")
    name = program(family, backend, "restore")
    try:
        done = iptables_read.call(name, "--noflush", "-w", str(LOCK), text=text, deadline=WRITE, bound=True)
    except UnavailableError as err:
        return Attempt("unavailable", str(err))
    if done.code == 0:
        return Attempt()
    return Attempt("busy" if iptables_read.is_busy(done) else "refused", f"{name}: {done.complaint}")


# --- the driver --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IptablesDriver:
    """One kind of iptables as a `RuleDriver`, with one transaction per family."""

    kind: IptablesKind

    @property
    def name(self) -> Backend:
        """See `RuleDriver`."""
        return "iptables-nft" if self.kind == "nft" else "iptables-legacy"

    @property
    def rules(self) -> RuleBackend[NatTable]:
        """See `RuleDriver`."""
        return tree

    def read(self, *, whole: bool = False) -> Reading[NatTable]:
        """See `RuleDriver`."""
        found: dict[Family, NatTable] = {}
        unreadable: dict[Family, str] = {}
        for family in FAMILIES:
            try:
                found[family] = iptables_read.read(family, self.kind, whole=whole)
            except UnavailableError as err:
                unreadable[family] = str(err)
        return Reading(found, unreadable)

    def sync(self, goal: Goal[NatTable]) -> Synced[NatTable]:
        """See `RuleDriver`."""
        found: dict[Family, NatTable] = {}
        refused: list[tuple[PortMapping, str]] = []
        errors: list[tuple[Family, str]] = []
        for family, have in goal.have.items():
            writer = _Writer(family, self.kind, partial(goal.build, family), have, time.monotonic() + SYNC)
            keep, add = _of(goal.keep, family), _of(goal.add, family)
            rejected, complaints = write_most(writer, keep, add)
            found[family] = writer.table
            refused += rejected
            errors += ((family, complaint) for complaint in complaints)
        return Synced(found, tuple(refused), tuple(errors))

    def foreign(self, found: Mapping[Family, NatTable], ports: PortRange) -> tuple[ForeignRule, ...]:
        """See `RuleDriver`."""
        families: Iterable[Family] = found or FAMILIES
        return tuple(rule for family in families for rule in self._foreign(found.get(family), family, ports))

    def _foreign(self, own: NatTable | None, family: Family, ports: PortRange) -> Iterator[ForeignRule]:
        """Yield the foreign rules of one family that take packets. own: None if this backend is not in use."""
        ahead = {name: own.bases[name].ahead for name in ENTRIES} if own else iptables_read.unused(family, self.kind)
        step = partial(
            taking,
            {name: texts for name, texts in ahead.items() if texts is not None},
            origin=Origin(self.name, family, has_jump=own is not None),
            ports=ports,
        )
        yield from foreign.walked(step, partial(iptables_read.others, family, self.kind)).rules
        for name in (name for name, texts in ahead.items() if texts is None):
            base = BaseChain(nft.NAMES[family], "nat", name, local=name == "OUTPUT", until=ENTRY if own else "")
            yield from native.taken_in(base, ports)

    def present(self) -> tuple[Family, ...]:
        """See `RuleDriver`."""
        return tuple(family for family in FAMILIES if self._has_rules(family))

    def _has_rules(self, family: Family) -> bool:
        if self.kind == "nft" and (names := libnftables.chains(family, "nat")) is not None:
            return any(re.fullmatch(CHAIN, name) for name in names)
        if command.find(program(family, self.kind, "restore")) is None:
            return False
        try:
            return not iptables_read.read(family, self.kind).empty
        except (UnavailableError, PermissionDeniedError):
            return False

    def clear(self, family: Family) -> str:
        """See `RuleDriver`."""
        try:
            have = iptables_read.read(family, self.kind, whole=True)
            synced = self.sync(Goal({family: have}, lambda *_: None))
        except (UnavailableError, PermissionDeniedError) as err:
            return str(err)
        return "; ".join(message for _, message in synced.errors)


def _of(mappings: Sequence[PortMapping], family: Family) -> list[PortMapping]:
    return [mapping for mapping in mappings if mapping.family == family]
