"""The kernel's rules: read as tables, written in one transaction per family, never believed without another look."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nplconf.errors import UnavailableError
from nplconf.model import Backend, Family, Mapping
from nplconf.node import command
from nplconf.node.backend import legacy_has, program
from nplconf.rules.rule import Rule
from nplconf.rules.table import BASES, INDEX, Table, complete
from nplconf.rules.table import read as parse
from nplconf.rules.transaction import transaction
from nplconf.rules.tree import differs

READ = 20.0
"""Seconds for one reading call: a save beside 50,000 foreign lines takes up to 7."""
WRITE = 20.0
LOCK = 5
"""Seconds that iptables itself waits for its lock."""
BUSY = 4
"""iptables' exit code for a lock or a resource that it did not get."""
RETRIES = 3
SETTLE = 60.0
"""Seconds for all attempts to bring one family in order."""

Build = Callable[[Sequence[Mapping]], Table | None]


@dataclass(frozen=True, slots=True)
class Settled:
    """A family after writing. table: as seen last. refused: mappings that the kernel would not take, and why."""

    table: Table
    refused: tuple[tuple[Mapping, str], ...] = ()
    errors: tuple[str, ...] = ()


# --- reading ---------------------------------------------------------------------------------------------------------


def read(family: Family, backend: Backend) -> Table:
    """What is ours. Two calls at any size; a whole save where the index cannot be trusted.

    Raises UnavailableError when there is no trustworthy answer.
    """
    if backend == "legacy":
        return _save(family, backend) if legacy_has("nat", family) else parse("")
    return _by_index(family, backend) or _save(family, backend)


def _by_index(family: Family, backend: Backend) -> Table | None:
    """Our chains alone, as the index names them; None where it cannot be trusted to name them all."""
    first = _list(family, backend, (INDEX, *BASES))
    rules = parse(first).chains.get(INDEX, ()) if first else ()
    names = list(dict.fromkeys(rule.target for rule in rules if isinstance(rule, Rule)))
    second = _list(family, backend, names) if names else None
    table = parse(first + second) if first and second else None
    return table if table and complete(table) else None


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


def _patiently(name: str, *arguments: str, text: str) -> command.Completed:
    """Run it again, a little later, while somebody else has the lock."""
    done = command.run(name, *arguments, text=text, deadline=READ)
    for attempt in range(RETRIES):
        if done.code != BUSY:
            break
        time.sleep(0.1 * 2**attempt)
        done = command.run(name, *arguments, text=text, deadline=READ)
    return done


# --- writing ---------------------------------------------------------------------------------------------------------


def settle(
    family: Family, backend: Backend, have: Table, build: Build, keep: Sequence[Mapping], add: Sequence[Mapping]
) -> Settled:
    """Bring a family's chains to what `build` makes of keep and add; where the kernel refuses, of as many as it takes.

    One transaction in the good case. One that did not come out as wanted is tried again from a new reading; then the
    additions are halved until the ones that are refused are found, and everything else is in.
    """
    end = time.monotonic() + SETTLE
    writer = _Writer(family, backend, build, have, end)
    if writer.reach(keep, add) or writer.reach(keep, add):
        return Settled(writer.table)
    if not writer.reach(keep, ()):
        # not even what was there before: nothing that is added can be the reason
        return Settled(writer.table, errors=(writer.complaint,))
    taken, refused = writer.halve(list(keep), list(add))
    return Settled(writer.table, tuple(refused), () if writer.reach(taken, ()) else (writer.complaint,))


class _Writer:
    """The attempts on one family. table: as read last; complaint: what iptables said last."""

    def __init__(self, family: Family, backend: Backend, build: Build, have: Table, end: float) -> None:
        self.table = have
        self.complaint = ""
        self._family, self._backend, self._build, self._end = family, backend, build, end

    def reach(self, keep: Sequence[Mapping], add: Sequence[Mapping]) -> bool:
        """Write these mappings and look; True when the kernel has exactly them."""
        want = self._build((*keep, *add))
        if not differs(self.table, want):
            return True
        if time.monotonic() > self._end:
            self.complaint = f"gave up after {SETTLE:.0f} s; {self.complaint}"
            return False
        try:
            self.complaint = write(self._family, self._backend, transaction(want, self.table))
            self.table = read(self._family, self._backend)
        except UnavailableError as err:
            self.complaint = str(err)
            return False
        reached = not differs(self.table, want)
        self.complaint = "" if reached else self.complaint or "iptables reported success, but the rules are not there"
        return reached

    def halve(self, keep: list[Mapping], add: list[Mapping]) -> tuple[list[Mapping], list[tuple[Mapping, str]]]:
        """Put in what the kernel takes of add; everything in force then, and each one refused with the reason."""
        if not add or self.reach(keep, add):
            return keep + add, []
        if len(add) == 1:
            return keep, [(add[0], self.complaint)]
        half = len(add) // 2
        keep, refused = self.halve(keep, add[:half])
        keep, more = self.halve(keep, add[half:])
        return keep, refused + more


def write(family: Family, backend: Backend, text: str) -> str:
    """One transaction; what iptables complained about, "" when it did not. Whether it is in force only a look can say."""
    name = program(family, backend, "restore")
    done = command.run(name, "--noflush", "-w", str(LOCK), text=text, deadline=WRITE)
    for attempt in range(RETRIES):
        if done.code != BUSY:
            break
        time.sleep(0.1 * 2**attempt)
        done = command.run(name, "--noflush", "-w", str(LOCK), text=text, deadline=WRITE)
    return "" if done.code == 0 else f"{name}: {done.complaint}"


# --- the other backend -----------------------------------------------------------------------------------------------


def has_ours(family: Family, backend: Backend) -> bool:
    """Whether a backend that is not used has something of ours; False where it is not installed or cannot tell."""
    if command.find(program(family, backend, "restore")) is None:
        return False
    try:
        return not read(family, backend).empty
    except UnavailableError:
        return False


def clear(family: Family, backend: Backend) -> str:
    """Remove all that is ours from a backend; what went wrong, or ""."""
    try:
        have = read(family, backend)
        complaint = write(family, backend, text) if (text := transaction(None, have)) else ""
        return complaint if not read(family, backend).empty else ""
    except UnavailableError as err:
        return str(err)
