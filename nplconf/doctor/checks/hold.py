"""Checks `hold` and `hold-store`: the daemon holds the whole range, and its sockets survive a crash."""

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.holds import holds
from nplconf.doctor.facts.netfilter import live
from nplconf.doctor.facts.units import HOLD, INSTALL, StoredSockets, store, units
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked, warn
from nplconf.model import Holds, PortRange, Taken

ENTRIES = 2
"""What systemd stores for the hold daemon: both ends of its queue."""
NAMED = 5
"""How many of a list a message names."""


def hold(facts: Facts) -> Verdict:
    """The daemon answers, and holds every port."""
    if facts.settings.no_hold:
        return ok("not used (noHold): a port is tried at the moment it is needed")
    found, wanted = facts.read(holds), facts.settings.port_range
    if isinstance(found, Unknown):
        return unchecked(found)
    if not found.available:
        return fail(found.message, _start(facts))
    if beyond := _not_covered(found, wanted):
        ranges = ", ".join(map(str, found.ranges))
        return fail(f"{beyond} ports of {wanted} are not held: the daemon holds {ranges}", _start(facts))
    if found.taken:
        return _taken(found.taken, facts)
    return ok(f"every port of {wanted} is held")


def _start(facts: Facts) -> str:
    """Return the command that starts the daemon on this node."""
    installed = facts.read(units)
    if isinstance(installed, Unknown):
        return "nplconf hold"
    return f"systemctl restart {HOLD}" if installed.installed else INSTALL


def _not_covered(found: Holds, wanted: PortRange) -> int:
    covered = {number for span in found.ranges for number in span.numbers}
    return len(set(wanted.numbers) - covered)


def _taken(taken: tuple[Taken, ...], facts: Facts) -> Verdict:
    names = [f"{t.number}/{t.protocol} by {t.by or 'an unknown process'}" for t in taken[:NAMED]]
    more = f" and {len(taken) - NAMED} more" if len(taken) > NAMED else ""
    message = f"in use by other programs: {', '.join(names)}{more}"
    fix = f"ss -Htulpn sport = {taken[0].number}  # stop that program, or choose another portRange"
    served = {rule.key.node_port for rule in facts.read(live).rules}
    stolen = any(t.number in served for t in taken)
    return fail(f"{message}; mappings use these ports", fix) if stolen else warn(message, fix)


def hold_store(facts: Facts) -> Verdict:
    """The daemon's sockets are stored by systemd."""
    if facts.settings.no_hold:
        return ok("not needed: no hold daemon is used (noHold)")
    found = facts.read(holds)
    if isinstance(found, Unknown):
        return unchecked(found)
    if not found.available:
        return ok("nothing to store: no hold daemon answers (see hold)")  # one cause is reported once
    return _stored(facts.read(store))


def _stored(found: StoredSockets | Unknown) -> Verdict:
    if isinstance(found, Unknown):
        return warn(f"the sockets of the hold daemon do not survive a crash: {found.why}", INSTALL)
    if not found.pid:
        return warn("the sockets of the hold daemon do not survive a crash: systemd did not start it", INSTALL)
    if found.entries < ENTRIES:
        message = f"systemd stores {found.entries} of {ENTRIES} entries: a crash would release every port"
        return fail(message, f"systemctl restart {HOLD}")
    return ok("systemd stores the sockets: they survive a crash")


CHECKS = (Check("hold", 80, hold), Check("hold-store", 90, hold_store))
