"""The kernel's rules: read as tables, written in one transaction per family, never believed without another look."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import Backend, Family, PortMapping
from nplconf.node import command
from nplconf.node.backend import legacy_has, program
from nplconf.rules.iptables.rule import Rule
from nplconf.rules.iptables.table import BASES, INDEX, Table, linked
from nplconf.rules.iptables.table import read as parse
from nplconf.rules.iptables.transaction import obsolete, removal, transaction
from nplconf.rules.iptables.tree import differs

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
SETTLE = 60.0
"""Seconds for all attempts to bring one family in order."""
NOTHING = "*nat\n:NPLCONF-PROBE - [0:0]\n-X NPLCONF-PROBE\nCOMMIT\n"
"""A transaction that leaves no trace: whoever refuses it refuses everything."""

Build = Callable[[Sequence[PortMapping]], Table | None]


@dataclass(frozen=True, slots=True)
class Synced:
    """A family after writing. table: as seen last. refused: mappings that the kernel would not take, and why."""

    table: Table
    refused: tuple[tuple[PortMapping, str], ...] = ()
    errors: tuple[str, ...] = ()


Fault = Literal["none", "refused", "unseen", "busy", "unavailable"]
"""What is wrong with a transaction: refused as such; taken, and not seen; not looked at; not run, or not read again."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction came to. complaint: what iptables said of it."""

    fault: Fault = "none"
    complaint: str = ""


# --- reading ---------------------------------------------------------------------------------------------------------


def read(family: Family, backend: Backend, *, whole: bool = False) -> Table:
    """What is ours. Two calls at any size; a whole save where the index cannot be trusted.

    whole: also find chains that nothing leads to. Raises UnavailableError when there is no trustworthy answer,
    PermissionDeniedError when we may not ask.
    """
    if backend == "legacy":
        # a save is faster there than the look for a chain, which goes through all of them
        return _save(family, backend) if legacy_has("nat", family) else _nothing(family, backend)
    return (None if whole else _by_index(family, backend)) or _save(family, backend)


def _nothing(family: Family, backend: Backend) -> Table:
    """A table that does not exist, as long as there is a program that could make it. Raises UnavailableError."""
    command.located(program(family, backend, "restore"))
    return parse("")


def _by_index(family: Family, backend: Backend) -> Table | None:
    """Our chains alone, as the index names them; None where it cannot be trusted to name them all."""
    first = _list(family, backend, (INDEX, *BASES))
    rules = parse(first).chains.get(INDEX, ()) if first else ()
    names = list(dict.fromkeys(rule.target for rule in rules if isinstance(rule, Rule)))
    second = _list(family, backend, names) if names else None
    table = parse(first + second) if first and second else None
    return table if table and linked(table) else None


def _list(family: Family, backend: Backend, chains: Sequence[str]) -> str | None:
    """Some chains' rules; None when one of them is missing, or the answer makes no sense."""
    question = "\n".join(("*nat", *(f"-S {chain}" for chain in chains), "COMMIT", ""))
    done = _patiently(program(family, backend, "restore"), "--noflush", text=question)
    named = sum(line.startswith(("-N ", "-P ")) for line in done.text.split("\n"))
    return done.text if done.code == 0 and named == len(chains) else None


def _save(family: Family, backend: Backend) -> Table:
    name = program(family, backend, "save")
    done = _patiently(name, "-t", "nat", text="")
    if done.code != 0:
        raise UnavailableError(f"{name}: {done.complaint}")
    if "*nat" not in done.text:  # it prints the base chains of an empty table, too
        raise UnavailableError(f"{name}: {' '.join(done.text.split())[:200] or 'says nothing, so it is broken'}")
    return parse(done.text)


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


def sync(
    family: Family, backend: Backend, have: Table, build: Build, keep: Sequence[PortMapping], add: Sequence[PortMapping]
) -> Synced:
    """Bring a family's chains to what `build` makes of keep and add; where the kernel refuses, of as many as it takes.

    One transaction in the good case. One that did not come out as wanted is tried again from a new reading. When it is
    refused again, and nothing but the additions can be the reason, they are halved until those that are refused are
    found, and everything else is in.
    """
    writer = _Writer(family, backend, build, have, time.monotonic() + SETTLE)
    if writer.reach(keep, add) or (writer.fault in ("refused", "unseen") and writer.reach(keep, add)):
        return Synced(writer.table, errors=writer.left)
    if writer.fault != "refused" or not writer.takes_anything() or not writer.reach(keep, ()):
        return Synced(writer.table, errors=(writer.complaint,))
    taken, refused = writer.halve(list(keep), list(add))
    return Synced(writer.table, tuple(refused), () if writer.reach(taken, ()) else (writer.complaint,))


class _Writer:
    """The attempts on one family. table: as read last. fault, complaint: what the last attempt came to.

    left: which chains of ours cannot be deleted, and why, where there are some.
    """

    def __init__(self, family: Family, backend: Backend, build: Build, have: Table, end: float) -> None:
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
            self.fault, self.complaint = "unavailable", f"gave up after {SETTLE:.0f} s; {self.complaint}"
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

    def halve(
        self, keep: list[PortMapping], add: list[PortMapping]
    ) -> tuple[list[PortMapping], list[tuple[PortMapping, str]]]:
        """Put in what the kernel takes of add; everything in force then, and each one refused with the reason."""
        if not add or self.reach(keep, add):
            return keep + add, []
        if len(add) == 1 or self.fault != "refused":
            return keep, [(mapping, self.complaint) for mapping in add]
        half = len(add) // 2
        keep, refused = self.halve(keep, add[:half])
        keep, more = self.halve(keep, add[half:])
        return keep, refused + more


def write(family: Family, backend: Backend, text: str) -> Written:
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


# --- the other backend -----------------------------------------------------------------------------------------------


def has_ours(family: Family, backend: Backend) -> bool:
    """Whether a backend that is not used has something of ours; False where it is not installed or cannot tell."""
    if command.find(program(family, backend, "restore")) is None:
        return False
    try:
        return not read(family, backend).empty
    except (UnavailableError, PermissionDeniedError):
        return False


def clear(family: Family, backend: Backend) -> str:
    """Remove all that is ours from a backend; what went wrong, or ""."""
    try:
        have = read(family, backend, whole=True)
        synced = sync(family, backend, have, lambda _: None, (), ())
    except (UnavailableError, PermissionDeniedError) as err:
        return str(err)
    return "; ".join(synced.errors)
