"""Facts from the hold daemon."""

from nplconf.doctor.facts import LOST, Facts, Unknown, is_closed
from nplconf.doctor.facts.units import Units, units
from nplconf.hold import client
from nplconf.model import Holds
from nplconf.node import owners


def holds(facts: Facts) -> Holds | Unknown:
    """Return the daemon's answer; a daemon that the question would start is not asked."""
    found = _holds(facts)
    if not facts.sources.lost or facts.sources.salvaged:
        return found
    wanted = facts.settings.port_range
    ranges = found.ranges if isinstance(found, Holds) else ()
    held = any(span.first <= wanted.first and wanted.last <= span.last for span in ranges)
    return found if held else LOST


def _holds(facts: Facts) -> Holds | Unknown:
    settings = facts.settings
    if settings.no_hold:
        return Holds(available=False)
    if is_closed(settings.hold_socket):
        return Unknown(f"no permission to connect to {settings.hold_socket} (run as root)", see="capabilities")
    installed = facts.read(units)
    if isinstance(installed, Units) and installed.waits_for_a_question:
        return Holds(available=False, message="nplconf-hold.service does not run: no port is held")
    found = client.ask(settings.hold_socket, settings.port_range)
    return owners.named(found, [taken.number for taken in found.taken])
