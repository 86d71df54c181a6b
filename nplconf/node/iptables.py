"""Read and write the rules of one iptables kind and family.

The rules are read as a `NatTable` and written in one transaction. The exit code of iptables-restore proves nothing, so
the rules are read again after each transaction.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import FAMILIES, Backend, Family, IptablesKind, PortMapping, PortRange
from nplconf.node import command, foreign, libnftables, native, nft, piecewise, routes
from nplconf.node.backend import legacy_has, program
from nplconf.node.halving import Fault, write_most
from nplconf.rules import Goal, Reading, RuleBackend, Synced
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.iptables import ending, tree
from nplconf.rules.iptables.rule import CHAIN, Rule
from nplconf.rules.iptables.table import BASES, ENTRY, INDEX, JUMPS, NatTable, linked, rules_of
from nplconf.rules.iptables.table import read as parse
from nplconf.rules.iptables.taking import Origin, taking
from nplconf.rules.iptables.transaction import obsolete, removal, transaction
from nplconf.rules.iptables.tree import differs
from nplconf.rules.masquerade import devices_to
from nplconf.rules.native import Base

READ = 20.0
"""Seconds for one reading call. A save beside 50,000 foreign lines takes up to 7."""
WRITE = 20.0
LOCK = 5
"""Seconds that iptables itself waits for its lock."""
BUSY = 4
"""The exit code for a lock or resource that is not free. iptables-nft returns it for everything that the kernel
refuses.
"""
PASSING = (
    "Resource temporarily unavailable",
    "Interrupted system call",
    "Cannot allocate memory",
    "Out of memory",
    "No buffer space available",
)
"""Reasons for which the kernel refuses now and may accept later, as the C libraries name them."""
_REFUSED = re.compile(r"[A-Z]+_[A-Z_]+ failed \(([^)]*)\)")
PATIENCE = 8.0
"""Seconds in which a call is repeated while the lock or the resource is not free."""
SYNC = 60.0
"""Seconds for all attempts to sync one family."""
ENTRIES = ("PREROUTING", "OUTPUT")
"""The base chains from which packets come to a mapping; the second has those that the node itself sends."""
NOTHING = "*nat\n:NPLCONF-PROBE - [0:0]\n-X NPLCONF-PROBE\nCOMMIT\n"
"""A transaction without effect. If it is refused, everything is refused."""

INCOMPATIBLE = "is incompatible"
"""Part of the only line that iptables-nft prints for a table with native nftables rules."""

Build = Callable[[Sequence[PortMapping]], NatTable | None]


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a transaction. complaint: the error message of iptables."""

    fault: Fault = "none"
    complaint: str = ""


# --- reading ---------------------------------------------------------------------------------------------------------


def read(family: Family, backend: IptablesKind, *, whole: bool = False, expected: Collection[str] = ()) -> NatTable:
    """Return the rules of nplconf. Two calls at any size, or one whole save if the index chain is not reliable.

    Args:
        family: The address family.
        backend: The kind of iptables.
        whole: Find also chains that no rule leads to.
        expected: The names of all chains, if they are known. If they are right, one call is enough.

    Raises:
        UnavailableError: There is no reliable answer.
        PermissionDeniedError: The process may not read rules.
    """
    if backend == "legacy" and not legacy_has("nat", family):
        return _nothing(family, backend)
    # legacy: a save is faster than `-S`, which searches through all chains for each name
    found = None if whole or backend == "legacy" else _by_index(family, backend, expected)
    found = found or _save(family, backend) or _piecewise(family, backend)
    return _accepted(found, family, backend) if found.bases["POSTROUTING"].place == "moved" else found


def _nothing(family: Family, backend: IptablesKind) -> NatTable:
    """Return an empty table for a nat table that does not exist. Raises UnavailableError without the program."""
    command.located(program(family, backend, "restore"))
    return parse("")


def _by_index(family: Family, backend: IptablesKind, expected: Collection[str]) -> NatTable | None:
    """Return the chains that the index chain names; None if it may not name all of them. expected: see `read`."""
    if expected:
        text = _list(family, backend, tuple(dict.fromkeys((INDEX, *BASES, *expected))))
        table = parse(text) if text else None
        if table and linked(table):
            return table
    first = _list(family, backend, (INDEX, *BASES))
    rules = parse(first).chains.get(INDEX, ()) if first else ()
    names = list(dict.fromkeys(rule.target for rule in rules if isinstance(rule, Rule)))
    second = _list(family, backend, names) if names else None
    table = parse(first + second) if first and second else None
    return table if table and linked(table) else None


def _list(family: Family, backend: IptablesKind, chains: Sequence[str]) -> str | None:
    """Return the rules of some chains as text; None if one of them is missing or the answer has another form."""
    question = "\n".join(("*nat", *(f"-S {chain}" for chain in chains), "COMMIT", ""))
    done = _patiently(program(family, backend, "restore"), "--noflush", text=question)
    named = sum(line.startswith(("-N ", "-P ")) for line in done.text.split("\n"))
    return done.text if done.code == 0 and named == len(chains) else None


def _accepted(table: NatTable, family: Family, backend: IptablesKind) -> NatTable:
    """Return the table with the place of its jump in POSTROUTING judged.

    The place is right if no rule before the jump could end or masquerade translated packets.
    """
    base = table.bases["POSTROUTING"]
    if not base.ahead:
        return table
    pods = frozenset(rule.pod_ip for rule in tree.live(table, family))
    flows = ending.Flows(pods, devices_to(routes.read(), pods))
    step = partial(ending.ends, base.ahead, flows=flows)
    if foreign.walked(step, partial(_others, family, backend)).possible:
        return table
    return replace(table, bases={**table.bases, "POSTROUTING": replace(base, place="right")})


def _others(family: Family, backend: IptablesKind, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the rules of foreign chains. A chain that cannot be listed is left out."""
    if backend == "legacy":  # one save has all chains, also those that are needed next
        return rules_of(_patiently(program(family, backend, "save"), "-t", "nat", text="").text)
    return rules_of("".join(piecewise.listed(partial(_list, family, backend), names).values()))


def _unused(family: Family, backend: IptablesKind) -> Mapping[str, Sequence[str] | None]:
    """Return the rules of the base chains in a backend that is not in use; None for one that iptables cannot list."""
    try:
        if backend == "legacy":
            chains = _others(family, backend, ENTRIES) if legacy_has("nat", family) else {}
            return {name: chains[name] for name in ENTRIES if name in chains}
        names = [name for name in ENTRIES if name in (libnftables.chains(family, "nat") or ())]
        texts = {name: _list(family, backend, [name]) for name in names}
    except UnavailableError:
        return {}
    return {name: None if text is None else rules_of(text).get(name, ()) for name, text in texts.items()}


def _save(family: Family, backend: IptablesKind) -> NatTable | None:
    """Return the whole table; None if native nftables rules prevent iptables from printing it."""
    name = program(family, backend, "save")
    done = _patiently(name, "-t", "nat", text="")
    if done.code != 0:
        raise UnavailableError(f"{name}: {done.complaint}")
    if "*nat" not in done.text and INCOMPATIBLE in done.text:
        return None
    if "*nat" not in done.text:  # even of an empty table it prints the base chains
        raise UnavailableError(f"{name}: {' '.join(done.text.split())[:200] or 'says nothing, so it is broken'}")
    return parse(done.text)


def _piecewise(family: Family, backend: IptablesKind) -> NatTable:
    def has_jump(base: str) -> bool:
        question = f"*nat\n-C {base} {JUMPS[base]}\nCOMMIT\n"
        return _patiently(program(family, backend, "restore"), "--noflush", text=question).code == 0

    def targets(base: str) -> list[str] | None:
        rules = nft.expressions(family, "nat", base)
        return [nft.target(rule) for rule in rules] if rules else None

    try:
        return piecewise.read(partial(_list, family, backend), has_jump, targets)
    except UnavailableError as err:
        raise UnavailableError(f"{program(family, backend, 'save')}: table `nat' {INCOMPATIBLE}: {err}") from err


def _patiently(name: str, *arguments: str, text: str, deadline: float = READ, bound: bool = False) -> command.Completed:
    """Run a program, and repeat while another process has the lock. Raises as `read`."""
    end, pause = time.monotonic() + PATIENCE, 0.1
    while _is_busy(done := command.run(name, *arguments, text=text, deadline=deadline, bound=bound)):
        if "must be root" in done.errors or "Permission denied" in done.errors:
            raise PermissionDeniedError(f"{name}: {done.complaint}")
        if time.monotonic() + pause > end:
            break
        time.sleep(pause)
        pause *= 2
    return done


def _is_busy(done: command.Completed) -> bool:
    """Return whether the same call may succeed later. iptables-nft names each command that the kernel refused."""
    reasons = _REFUSED.findall(done.errors)
    return done.code == BUSY and (not reasons or any(reason.startswith(PASSING) for reason in reasons))


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
            self.table = read(self._family, self._backend, whole=want is None, expected=names)
        except UnavailableError as err:
            done = Written("unavailable", str(err))
        else:
            if not differs(self.table, want):
                return True
        if done.fault == "none":
            done = Written("unseen", "iptables reported success, but the rules are not there")
        self.fault, self.complaint = done.fault, done.complaint
        return False

    def _write(self, want: NatTable | None) -> Written:
        try:
            text = transaction(want, self.table)
        except ValueError as err:
            return Written("refused", str(err))
        done = write(self._family, self._backend, text)
        gone = obsolete(want, self.table)
        if done.fault != "refused" or not gone:
            return done
        # an obsolete chain cannot be deleted while a foreign rule jumps to it; all other rules are written without it
        if write(self._family, self._backend, transaction(want, self.table, sweep=False)).fault != "none":
            return done
        stuck = self._stuck(gone)
        if not stuck:
            return Written()
        self.left = (
            f"a foreign rule leads to {', '.join(stuck)}, which cannot be deleted and is empty: delete the rule",
        )
        return Written("unseen", self.left[0])

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


def write(family: Family, backend: IptablesKind, text: str) -> Written:
    """Run one transaction. Whether it is in force only a new reading shows.

    Raises:
        PermissionDeniedError: The process may not write rules.
    """
    if not text:
        return Written("unavailable", "the rules differ from the wanted ones, and no iptables command can fix it")
    name = program(family, backend, "restore")
    try:
        done = _patiently(name, "--noflush", "-w", str(LOCK), text=text, deadline=WRITE, bound=True)
    except UnavailableError as err:
        return Written("unavailable", str(err))
    if done.code == 0:
        return Written()
    return Written("busy" if _is_busy(done) else "refused", f"{name}: {done.complaint}")


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
                found[family] = read(family, self.kind, whole=whole)
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
        ahead = {name: own.bases[name].ahead for name in ENTRIES} if own else _unused(family, self.kind)
        step = partial(
            taking,
            {name: texts for name, texts in ahead.items() if texts is not None},
            origin=Origin(self.name, family, has_jump=own is not None),
            ports=ports,
        )
        yield from foreign.walked(step, partial(_others, family, self.kind)).rules
        for name in (name for name, texts in ahead.items() if texts is None):
            base = Base(nft.NAMES[family], "nat", name, local=name == "OUTPUT", until=ENTRY if own else "")
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
            return not read(family, self.kind).empty
        except (UnavailableError, PermissionDeniedError):
            return False

    def clear(self, family: Family) -> str:
        """See `RuleDriver`."""
        try:
            have = read(family, self.kind, whole=True)
            synced = self.sync(Goal({family: have}, lambda *_: None))
        except (UnavailableError, PermissionDeniedError) as err:
            return str(err)
        return "; ".join(message for _, message in synced.errors)


def _of(mappings: Sequence[PortMapping], family: Family) -> list[PortMapping]:
    return [mapping for mapping in mappings if mapping.family == family]
