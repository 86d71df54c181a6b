"""Check `sctp`: with `--sctp`, this kernel has SCTP sockets, and the hold daemon holds the range for SCTP."""

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.holds import holds
from nplconf.doctor.facts.units import HOLD
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked
from nplconf.hold.sockets import supported


def sockets(_: Facts) -> bool:
    """Return whether this kernel has SCTP sockets."""
    return supported("sctp")


LOAD = "modprobe sctp && echo sctp > /etc/modules-load.d/nplconf-sctp.conf"


def sctp(facts: Facts) -> Verdict:
    """SCTP ports can be held. Without a held socket no SCTP mapping is made."""
    if not facts.read(sockets):
        return fail("this kernel has no SCTP sockets: SCTP ports cannot be held, and are not mapped", LOAD)
    if facts.settings.no_hold:
        return ok("this kernel has SCTP sockets")
    found = facts.read(holds)
    if isinstance(found, Unknown):
        return unchecked(found)
    if found.available and "sctp" not in found.protocols:
        return fail("the hold daemon runs without sctp: SCTP ports are not mapped", f"systemctl restart {HOLD}")
    return ok("this kernel has SCTP sockets")


CHECKS = (Check("sctp", 95, sctp, applies=lambda settings: settings.sctp),)
