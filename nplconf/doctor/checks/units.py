"""Check `units`: the systemd units are those of this nplconf, enabled and active."""

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.holds import holds
from nplconf.doctor.facts.units import HOLD, INSTALL, SOCKET, Units
from nplconf.doctor.facts.units import units as installed
from nplconf.doctor.verdict import Check, Verdict, fail, ok, warn


def units(facts: Facts) -> Verdict:
    """The units are installed as this nplconf writes them, and start at boot."""
    found = facts.read(installed)
    if isinstance(found, Unknown):
        return warn(f"no units: {found.why}", "nplconf apply  # run it regularly by other means")
    if not found.installed:
        return warn("not installed: nothing runs nplconf regularly", INSTALL)
    masked = [name for name, unit in found.states.items() if unit.load == "masked"]
    if masked:
        return fail(f"{masked[0]} is masked", f"systemctl unmask {masked[0]} && {INSTALL}")
    if wrong := (*found.missing, *found.differing):
        return warn(f"files differ from those of this nplconf: {', '.join(wrong)}", INSTALL)
    return _states(found, facts)


def _states(found: Units, facts: Facts) -> Verdict:
    """Return one fix for all units that have the same problem."""
    if off := [name for name, unit in found.states.items() if unit.enabled != "enabled"]:
        message = f"{', '.join(off)}: not enabled, does not start at boot"
        return fail(message, f"systemctl enable --now {' '.join(off)}")
    if resting := [name for name, unit in found.states.items() if unit.active != "active" and _is_ours(name, facts)]:
        return fail(f"{', '.join(resting)}: not active", f"systemctl start {' '.join(resting)}")
    if changed := [name for name, unit in found.states.items() if unit.reload]:
        return warn(f"{', '.join(changed)}: changed on disk since systemd loaded it", "systemctl daemon-reload")
    return ok("installed, enabled and active")


def _is_ours(name: str, facts: Facts) -> bool:
    """Return whether this check reports a unit that does not run; `hold` reports a daemon that does not answer."""
    found = facts.read(holds)
    answers = not isinstance(found, Unknown) and found.available
    return name != HOLD and (name != SOCKET or answers or facts.settings.no_hold)


CHECKS = (Check("units", 100, units),)
