"""Read the rules of one iptables kind and family as a `NatTable`.

`read` takes two calls at any size: the index chain names all other chains of nplconf. Otherwise the whole table is
saved, or listed chain by chain if native nftables rules are in it.
"""

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import Family, IptablesKind
from nplconf.node import command, foreign, libnftables, nft, piecewise, routes
from nplconf.node.backend import legacy_has, program
from nplconf.rules.iptables import ending, tree
from nplconf.rules.iptables.rule import Rule
from nplconf.rules.iptables.table import BASES, INDEX, JUMPS, NatTable, linked, rules_of
from nplconf.rules.iptables.table import read as parse
from nplconf.rules.masquerade import devices_to

READ = 20.0
"""Seconds for one reading call. A save beside 50,000 foreign lines takes up to 7."""
BUSY = 4
"""The exit code for a lock or resource that is not free, and in iptables-nft for everything that the kernel refuses."""
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
ENTRIES = ("PREROUTING", "OUTPUT")
"""The base chains from which packets come to a mapping. OUTPUT has those that the node itself sends."""
INCOMPATIBLE = "is incompatible"
"""Part of the only line that iptables-nft prints for a table with native nftables rules."""


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
    done = call(program(family, backend, "restore"), "--noflush", text=question)
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
    if foreign.walked(step, partial(others, family, backend)).possible:
        return table
    return replace(table, bases={**table.bases, "POSTROUTING": replace(base, place="right")})


def others(family: Family, backend: IptablesKind, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the rules of foreign chains. A chain that cannot be listed is left out."""
    if backend == "legacy":  # one save has all chains, also those that are needed next
        return rules_of(call(program(family, backend, "save"), "-t", "nat", text="").text)
    return rules_of("".join(piecewise.listed(partial(_list, family, backend), names).values()))


def unused(family: Family, backend: IptablesKind) -> Mapping[str, Sequence[str] | None]:
    """Return the rules of the base chains in a backend that is not in use; None for one that iptables cannot list."""
    try:
        if backend == "legacy":
            chains = others(family, backend, ENTRIES) if legacy_has("nat", family) else {}
            return {name: chains[name] for name in ENTRIES if name in chains}
        names = [name for name in ENTRIES if name in (libnftables.chains(family, "nat") or ())]
        texts = {name: _list(family, backend, [name]) for name in names}
    except UnavailableError:
        return {}
    return {name: None if text is None else rules_of(text).get(name, ()) for name, text in texts.items()}


def _save(family: Family, backend: IptablesKind) -> NatTable | None:
    """Return the whole table; None if native nftables rules prevent iptables from printing it."""
    name = program(family, backend, "save")
    done = call(name, "-t", "nat", text="")
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
        return call(program(family, backend, "restore"), "--noflush", text=question).code == 0

    def targets(base: str) -> list[str] | None:
        rules = nft.expressions(family, "nat", base)
        return [nft.target(rule) for rule in rules] if rules else None

    try:
        return piecewise.read(partial(_list, family, backend), has_jump, targets)
    except UnavailableError as err:
        raise UnavailableError(f"{program(family, backend, 'save')}: table `nat' {INCOMPATIBLE}: {err}") from err


def call(name: str, *arguments: str, text: str, deadline: float = READ, bound: bool = False) -> command.Completed:
    """Run a program, and repeat while another process has the lock. Raises as `read`."""
    end, pause = time.monotonic() + PATIENCE, 0.1
    while is_busy(done := command.run(name, *arguments, text=text, deadline=deadline, bound=bound)):
        if "must be root" in done.errors or "Permission denied" in done.errors:
            raise PermissionDeniedError(f"{name}: {done.complaint}")
        if time.monotonic() + pause > end:
            break
        time.sleep(pause)
        pause *= 2
    return done


def is_busy(done: command.Completed) -> bool:
    """Return whether the same call may succeed later. iptables-nft names each command that the kernel refused."""
    reasons = _REFUSED.findall(done.errors)
    return done.code == BUSY and (not reasons or any(reason.startswith(PASSING) for reason in reasons))
