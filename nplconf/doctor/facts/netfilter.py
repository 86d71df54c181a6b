"""Facts from the backend: the live mappings, the filter tables, and whether it answers at all."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.kernel import DEADLINE, missing_capabilities
from nplconf.errors import NplconfError, UnavailableError
from nplconf.model import FAMILIES, Family, IptablesKind, LiveRule
from nplconf.node import backend, command
from nplconf.node.linux import LinuxNode
from nplconf.plan.live import live_mappings
from nplconf.rules.foreign import ForeignRule, hits


class Live(NamedTuple):
    """The mappings in the kernel. unreadable: why a family cannot be read. found: what the backend read."""

    rules: tuple[LiveRule, ...] = ()
    unreadable: Mapping[Family, str] = {}
    found: Mapping[Family, Any] = {}


class Filter(NamedTuple):
    """One filter table, as iptables-save prints it: "iptables-nft" and its lines."""

    program: str
    family: Family
    lines: tuple[str, ...]


def node(facts: Facts) -> LinuxNode | None:
    """Return this machine; None where its rules cannot be read."""
    if facts.read(missing_capabilities):
        return None
    try:
        return facts.sources.node()
    except NplconfError:
        return None


def live(facts: Facts) -> Live:
    """Return the live mappings, and why a family cannot be read."""
    machine = facts.read(node)
    if machine is None:
        return Live()
    try:
        reading = machine.read()
    except NplconfError as err:
        return Live((), dict.fromkeys(FAMILIES, str(err)))
    rules = (rule for family, have in reading.found.items() for rule in machine.rules.live(have, family))
    return Live(tuple(rules), reading.unreadable, reading.found)


def diverting(facts: Facts) -> tuple[ForeignRule, ...]:
    """Return the foreign rules that take packets to a live mapping, those that take packets from outside first."""
    machine, known = facts.read(node), facts.read(live)
    if machine is None or not known.rules:
        return ()
    try:
        rules, addresses = machine.foreign(known.found), machine.addresses()
    except NplconfError:
        return ()
    own: dict[Family, list[str]] = {"IPv4": [], "IPv6": []}
    for address in addresses:
        own["IPv6" if ":" in address else "IPv4"].append(address)
    mappings = live_mappings(known.rules, (), {})
    taken = [rule for local in (False, True) for rule in hits(rules, mappings, own, local=local).values()]
    return tuple(dict.fromkeys(taken))


def blind(facts: Facts) -> Unknown | None:
    """Return why no rule can be read; None where rules can be read."""
    if lacking := facts.read(missing_capabilities):
        return Unknown(f"iptables does not answer without {', '.join(sorted(lacking))}", see="capabilities")
    return Unknown("iptables does not answer (see backend)", see="backend") if facts.read(live).unreadable else None


def filters(facts: Facts) -> tuple[Filter, ...] | Unknown:
    """Return the filter table of every installed iptables that has one."""
    if unknown := facts.read(blind):
        return unknown
    try:
        return tuple(
            saved(kind, family, "filter")
            for kind in backend.installed()
            for family in FAMILIES
            if kind == "nft" or backend.legacy_has("filter", family)
        )
    except NplconfError as err:
        return Unknown(str(err), see="backend")


def saved(kind: IptablesKind, family: Family, table: str) -> Filter:
    """Return a table as iptables-save prints it. Raises UnavailableError."""
    done = command.run(backend.program(family, kind, "save"), "-t", table, deadline=DEADLINE)
    if done.code:
        raise UnavailableError(f"iptables-{kind} ({family}): {done.complaint}")
    return Filter(f"iptables-{kind}", family, tuple(done.text.splitlines()))
