"""Checks of nplconf itself on this node: what it works with, and what it left behind."""

from nplconf.doctor.facts import Facts, Units, Unknown
from nplconf.doctor.verdict import Verdict, fail, ok, unknown, warn
from nplconf.model import Holds, Taken

HOLD, SOCKET, JOB = "nplconf-hold.service", "nplconf-hold.socket", "nplconf.service"
INSTALL = "nplconf install-units --now"
ENTRIES = 2
"""What the hold daemon has kept by systemd: both ends of its queue."""
LATE = 300.0
"""Seconds without a good run; the timer makes one every ten."""
NAMED = 5
"""How many of a list a message names."""


def backend(facts: Facts) -> Verdict:
    """There is an iptables, it answers, and it is the one that the node's other rules are in."""
    found = facts.iptables
    if not found.installed:
        return fail("iptables is not installed", "apt-get install iptables")
    if found.configured != "auto" and found.configured not in found.installed:
        return fail(f"iptables-{found.configured} is configured and not installed", "apt-get install iptables")
    if facts.capabilities:
        return unknown(Unknown(f"without {', '.join(sorted(facts.capabilities))} iptables gives no answer"))
    if found.unreadable:
        said = "; ".join(dict.fromkeys(found.unreadable.values()))
        return fail(said, "modprobe -a nf_tables nft_compat ip_tables ip6_tables")
    if found.hinted and found.configured not in ("auto", found.hinted):
        message = f"iptables-{found.configured} is configured, and the kubelet's rules are in iptables-{found.hinted}"
        return warn(message, "sed -i 's/^backend:.*/backend: auto/' /etc/nplconf/config.yaml")
    return ok(f"{' and '.join(found.installed)} installed, {found.configured} configured")


def backend_leftovers(facts: Facts) -> Verdict:
    """Nothing of ours is in the iptables that is not used."""
    if isinstance(facts.leftovers, Unknown):
        return unknown(facts.leftovers)
    if facts.leftovers:
        places = (f"{name} ({', '.join(families)})" for name, families in facts.leftovers.items())
        return warn(f"rules of nplconf in a backend that is not in use: {', '.join(places)}", "nplconf apply")
    return ok("nothing of ours in the other iptables")


def capabilities(facts: Facts) -> Verdict:
    """Whoever runs this may also run apply."""
    if facts.capabilities:
        return fail(
            f"{', '.join(sorted(facts.capabilities))} missing: iptables and conntrack refuse", "sudo nplconf doctor"
        )
    return ok("CAP_NET_ADMIN and CAP_NET_RAW")


def hold(facts: Facts) -> Verdict:
    """The daemon holds the whole range."""
    if facts.no_hold:
        return ok("not used (noHold): a number is tried when it is needed")
    found = facts.holds
    if isinstance(found, Unknown):
        return unknown(found)
    if not found.available:
        return fail(found.message, _start(facts))
    if beyond := _not_covered(found, facts):
        message = (
            f"{beyond} numbers of {facts.port_range} are not held: the daemon holds {', '.join(map(str, found.ranges))}"
        )
        return fail(message, _start(facts))
    if found.taken:
        return _taken(found.taken, facts)
    return ok(f"all of {facts.port_range} is held")


def _start(facts: Facts) -> str:
    """The command that starts the daemon here, as it is configured now."""
    if isinstance(facts.units, Unknown):
        return "nplconf hold"
    return INSTALL if _not_installed(facts.units) else f"systemctl restart {HOLD}"


def _not_covered(found: Holds, facts: Facts) -> int:
    covered = {number for span in found.ranges for number in range(span.first, span.last + 1)}
    return len(set(range(facts.port_range.first, facts.port_range.last + 1)) - covered)


def _taken(taken: tuple[Taken, ...], facts: Facts) -> Verdict:
    names = [f"{t.number}/{t.protocol} by {t.by or 'an unknown process'}" for t in taken[:NAMED]]
    more = f" and {len(taken) - NAMED} more" if len(taken) > NAMED else ""
    message = f"taken by others: {', '.join(names)}{more}"
    number = taken[0].number
    fix = f"ss -Htulpn sport = {number}  # end it, or choose another portRange"
    stolen = any(t.number in facts.served for t in taken)
    return fail(f"{message}; Pods were served there", fix) if stolen else warn(message, fix)


def hold_store(facts: Facts) -> Verdict:
    """The daemon's sockets are kept, should it die."""
    if facts.no_hold or isinstance(facts.holds, Unknown) or not facts.holds.available:
        return unknown(Unknown("no hold daemon is used" if facts.no_hold else "no hold daemon answers, see hold"))
    if isinstance(facts.store, Unknown):
        return warn(f"nobody keeps the sockets of the hold daemon: {facts.store.why}", INSTALL)
    if not facts.store.pid:
        return warn("the hold daemon is not systemd's: nobody keeps its sockets", INSTALL)
    if facts.store.entries < ENTRIES:
        message = f"systemd keeps {facts.store.entries} of {ENTRIES} entries: a crash would lose every number"
        return fail(message, f"systemctl restart {HOLD}")
    return ok("systemd keeps the sockets through a crash")


def units(facts: Facts) -> Verdict:
    """The units are this nplconf's, and start at boot. Whether the daemon runs is the check `hold`."""
    found = facts.units
    if isinstance(found, Unknown):
        return warn(f"no units: {found.why}", "nplconf apply  # by other means, again and again")
    if _not_installed(found):
        return warn("not installed: nothing runs nplconf by itself", INSTALL)
    masked = [name for name, unit in found.states.items() if unit.load == "masked"]
    if masked:
        return fail(f"{masked[0]} is masked", f"systemctl unmask {masked[0]} && {INSTALL}")
    if wrong := (*found.missing, *found.differing):
        return warn(f"not as this nplconf writes them: {', '.join(wrong)}", INSTALL)
    return _states(found, facts)


def _states(found: Units, facts: Facts) -> Verdict:
    """Everything that is wrong in one way is mended at once."""
    if off := [name for name, unit in found.states.items() if unit.enabled != "enabled"]:
        message = f"{', '.join(off)}: not enabled, and will not start at boot"
        return fail(message, f"systemctl enable --now {' '.join(off)}")
    if resting := [name for name, unit in found.states.items() if unit.active != "active" and _told_here(name, facts)]:
        return fail(f"{', '.join(resting)}: not active", f"systemctl start {' '.join(resting)}")
    if changed := [name for name, unit in found.states.items() if unit.reload]:
        return warn(f"{', '.join(changed)}: changed on disk", "systemctl daemon-reload")
    return ok("installed, enabled and active")


def _not_installed(found: Units) -> bool:
    return bool(found.missing) and all(unit.load == "not-found" for unit in found.states.values())


def _told_here(name: str, facts: Facts) -> bool:
    """Whether it is this check that says that a unit does not run: of a daemon that does not answer `hold` does."""
    answers = not isinstance(facts.holds, Unknown) and facts.holds.available
    return name != HOLD and (name != SOCKET or answers or facts.no_hold)


def last_success(facts: Facts) -> Verdict:
    """A run ended well, and not long ago."""
    found = facts.last_success
    if isinstance(found, Unknown):
        return unknown(found)
    look = f"systemctl start {JOB} || journalctl -u {JOB} -n 50" if found.timer else "nplconf apply"
    if not found.ever:
        return warn("no run has ended well yet", look)
    if found.age is None:
        return warn("no run has ended well since this boot", look)
    if found.age > LATE:
        message = f"the last run that ended well was {found.age / 60:.0f} minutes ago"
        return fail(message, look) if found.timer else warn(message, look)
    # less than nothing: the clock has gone back since
    return ok(f"a run ended well {max(found.age, 0):.0f} s ago, or since")


def config(facts: Facts) -> Verdict:
    """The configuration, and what it names, can be read and followed."""
    if facts.config:
        return fail("; ".join(message for message, _ in facts.config), facts.config[0][1])
    return ok("understood")
