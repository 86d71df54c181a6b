"""The kernel's rules: read as tables, written in one transaction per family, never believed without another look."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import FAMILIES, Backend, Family, IptablesKind, PortMapping, PortRange
from nplconf.node import command, foreign, libnftables, nft, piecewise, routes
from nplconf.node.backend import legacy_has, program
from nplconf.node.halving import Fault, write_most
from nplconf.rules import Goal, Reading, RuleBackend, Synced
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.iptables import ending, tree
from nplconf.rules.iptables.rule import CHAIN, Rule
from nplconf.rules.iptables.table import BASES, INDEX, JUMPS, Table, linked, rules_of
from nplconf.rules.iptables.table import read as parse
from nplconf.rules.iptables.taking import Origin, taking
from nplconf.rules.iptables.transaction import obsolete, removal, transaction
from nplconf.rules.iptables.tree import differs
from nplconf.rules.masquerade import devices_to

READ = 20.0
"""Seconds for one reading call: a save beside 50,000 foreign lines takes up to 7."""
WRITE = 20.0
LOCK = 5
"""Seconds that iptables itself waits for its lock."""
BUSY = 4
"""iptables' exit code for a lock or a resource that it did not get; of iptables-nft for all that the kernel refused."""
PASSING = (
    "Resource temporarily unavailable",
    "Interrupted system call",
    "Cannot allocate memory",
    "Out of memory",
    "No buffer space available",
)
"""What the kernel may refuse today and take tomorrow, as the C libraries name it."""
_REFUSED = re.compile(r"[A-Z]+_[A-Z_]+ failed \(([^)]*)\)")
PATIENCE = 8.0
"""Seconds in which a call that did not get it is made again."""
SYNC = 60.0
"""Seconds for all attempts to sync one family."""
NOTHING = "*nat\n:NPLCONF-PROBE - [0:0]\n-X NPLCONF-PROBE\nCOMMIT\n"
"""A transaction that leaves no trace: whoever refuses it refuses everything."""

INCOMPATIBLE = "is incompatible"
"""What iptables-nft says of a table with native nftables rules, and prints nothing else."""

Build = Callable[[Sequence[PortMapping]], Table | None]


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction came to. complaint: what iptables said of it."""

    fault: Fault = "none"
    complaint: str = ""


# --- reading ---------------------------------------------------------------------------------------------------------


def read(family: Family, backend: IptablesKind, *, whole: bool = False) -> Table:
    """What is ours. Two calls at any size; a whole save where the index cannot be trusted.

    whole: also find chains that nothing leads to. Raises UnavailableError when there is no trustworthy answer,
    PermissionDeniedError when we may not ask.
    """
    if backend == "legacy" and not legacy_has("nat", family):
        return _nothing(family, backend)
    # a save is faster in legacy than the look for a chain, which goes through all of them
    found = None if whole or backend == "legacy" else _by_index(family, backend)
    found = found or _save(family, backend) or _piecewise(family, backend)
    return _accepted(found, family, backend) if found.bases["POSTROUTING"].place == "moved" else found


def _nothing(family: Family, backend: IptablesKind) -> Table:
    """A table that does not exist, as long as there is a program that could make it. Raises UnavailableError."""
    command.located(program(family, backend, "restore"))
    return parse("")


def _by_index(family: Family, backend: IptablesKind) -> Table | None:
    """Our chains alone, as the index names them; None where it cannot be trusted to name them all."""
    first = _list(family, backend, (INDEX, *BASES))
    rules = parse(first).chains.get(INDEX, ()) if first else ()
    names = list(dict.fromkeys(rule.target for rule in rules if isinstance(rule, Rule)))
    second = _list(family, backend, names) if names else None
    table = parse(first + second) if first and second else None
    return table if table and linked(table) else None


def _list(family: Family, backend: IptablesKind, chains: Sequence[str]) -> str | None:
    """Some chains' rules; None when one of them is missing, or the answer makes no sense."""
    question = "\n".join(("*nat", *(f"-S {chain}" for chain in chains), "COMMIT", ""))
    done = _patiently(program(family, backend, "restore"), "--noflush", text=question)
    named = sum(line.startswith(("-N ", "-P ")) for line in done.text.split("\n"))
    return done.text if done.code == 0 and named == len(chains) else None


def _accepted(table: Table, family: Family, backend: IptablesKind) -> Table:
    """The table; its jump in POSTROUTING is right where nothing before it could end or masquerade our packets."""
    base = table.bases["POSTROUTING"]
    pods = frozenset(rule.pod_ip for rule in tree.live(table, family))
    flows = ending.Flows(pods, devices_to(routes.read(), pods))
    step = partial(ending.ends, base.ahead, flows=flows)
    if not base.ahead or foreign.walked(step, partial(_others, family, backend)).possible:
        return table
    return replace(table, bases={**table.bases, "POSTROUTING": replace(base, place="right")})


def _others(family: Family, backend: IptablesKind, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Rules of chains of others; those of a chain that cannot be listed are left out."""
    if backend == "legacy":  # one save has them all, whichever will be asked for next
        return rules_of(_patiently(program(family, backend, "save"), "-t", "nat", text="").text)
    return rules_of("".join(piecewise.listed(partial(_list, family, backend), names).values()))


def _prerouting(family: Family, backend: IptablesKind) -> Sequence[str]:
    """The rules of PREROUTING in a backend that is not in use; none where it has no nat table."""
    if backend == "legacy":
        there = legacy_has("nat", family)
    else:
        there = "PREROUTING" in (libnftables.chains(family, "nat") or ())
    try:
        return _others(family, backend, ["PREROUTING"]).get("PREROUTING", ()) if there else ()
    except UnavailableError:
        return ()


def _save(family: Family, backend: IptablesKind) -> Table | None:
    """The whole table; None where native nftables rules keep iptables from printing it."""
    name = program(family, backend, "save")
    done = _patiently(name, "-t", "nat", text="")
    if done.code != 0:
        raise UnavailableError(f"{name}: {done.complaint}")
    if "*nat" not in done.text and INCOMPATIBLE in done.text:
        return None
    if "*nat" not in done.text:  # it prints the base chains of an empty table, too
        raise UnavailableError(f"{name}: {' '.join(done.text.split())[:200] or 'says nothing, so it is broken'}")
    return parse(done.text)


def _piecewise(family: Family, backend: IptablesKind) -> Table:
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
    """Run it, and again a little later while somebody else has the lock. Raises as `read`."""
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
    """Whether the same call may succeed a little later; iptables-nft names each command that the kernel refused."""
    reasons = _REFUSED.findall(done.errors)
    return done.code == BUSY and (not reasons or any(reason.startswith(PASSING) for reason in reasons))


# --- writing ---------------------------------------------------------------------------------------------------------


class _Writer:
    """The attempts on one family. table: as read last. fault, complaint: what the last attempt came to.

    left: which chains of ours cannot be deleted, and why, where there are some.
    """

    def __init__(self, family: Family, backend: IptablesKind, build: Build, have: Table, end: float) -> None:
        self.table = have
        self.fault: Fault = "none"
        self.complaint = ""
        self.left: tuple[str, ...] = ()
        self._family, self._backend, self._build, self._end = family, backend, build, end

    def reach(self, keep: Sequence[PortMapping], add: Sequence[PortMapping]) -> bool:
        """Write these mappings and look; True when the kernel has exactly them."""
        want = self._build((*keep, *add))
        if not differs(self.table, want):
            return True
        if time.monotonic() > self._end:
            self.fault, self.complaint = "unavailable", f"gave up after {SYNC:.0f} s; {self.complaint}"
            return False
        done = self._write(want)
        try:
            # whatever became of it: a transaction that was killed may be in force
            self.table = read(self._family, self._backend, whole=want is None)
        except UnavailableError as err:
            done = Written("unavailable", str(err))
        else:
            if not differs(self.table, want):
                return True
        if done.fault == "none":
            done = Written("unseen", "iptables reported success, but the rules are not there")
        self.fault, self.complaint = done.fault, done.complaint
        return False

    def _write(self, want: Table | None) -> Written:
        try:
            text = transaction(want, self.table)
        except ValueError as err:
            return Written("refused", str(err))
        done = write(self._family, self._backend, text)
        gone = obsolete(want, self.table)
        if done.fault != "refused" or not gone:
            return done
        # a chain that is no longer needed cannot go while a foreign rule leads to it; that must not keep the rest out
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
        """Delete empty chains; those that do not go."""
        if not chains or write(self._family, self._backend, removal(chains)).fault == "none":
            return []
        if len(chains) == 1 or time.monotonic() > self._end:
            return list(chains)
        half = len(chains) // 2
        return self._stuck(chains[:half]) + self._stuck(chains[half:])

    def takes_anything(self) -> bool:
        """Whether iptables takes a transaction at all: where it does not, no mapping is the reason."""
        return write(self._family, self._backend, NOTHING).fault == "none"


def write(family: Family, backend: IptablesKind, text: str) -> Written:
    """One transaction. Whether it is in force only a look can say. Raises PermissionDeniedError."""
    if not text:
        return Written("unavailable", "something of ours is not as it must be, and no text for iptables can mend it")
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
    """iptables of one kind as a `RuleDriver`: one transaction per family."""

    kind: IptablesKind

    @property
    def name(self) -> Backend:
        """See `RuleDriver`."""
        return "iptables-nft" if self.kind == "nft" else "iptables-legacy"

    @property
    def rules(self) -> RuleBackend[Table]:
        """See `RuleDriver`."""
        return tree

    def read(self, *, whole: bool = False) -> Reading[Table]:
        """See `RuleDriver`."""
        found: dict[Family, Table] = {}
        unreadable: dict[Family, str] = {}
        for family in FAMILIES:
            try:
                found[family] = read(family, self.kind, whole=whole)
            except UnavailableError as err:
                unreadable[family] = str(err)
        return Reading(found, unreadable)

    def sync(self, goal: Goal[Table]) -> Synced[Table]:
        """See `RuleDriver`."""
        found: dict[Family, Table] = {}
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

    def foreign(self, found: Mapping[Family, Table], ports: PortRange) -> tuple[ForeignRule, ...]:
        """See `RuleDriver`."""
        ahead: dict[Family, Sequence[str]] = {f: table.bases["PREROUTING"].ahead for f, table in found.items()}
        rules = ahead or {family: _prerouting(family, self.kind) for family in FAMILIES}
        taken: list[ForeignRule] = []
        for family, texts in rules.items():
            step = partial(taking, texts, origin=Origin(self.name, family, ours=bool(ahead)), ports=ports)
            taken += foreign.walked(step, partial(_others, family, self.kind)).rules
        return tuple(taken)

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
