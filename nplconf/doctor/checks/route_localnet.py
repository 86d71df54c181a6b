"""Check `route-localnet`: no neighbour of the node reaches services that listen on 127.0.0.1."""

import contextlib
from pathlib import Path

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.kernel import SYS
from nplconf.doctor.facts.netfilter import Filter, filters
from nplconf.doctor.verdict import Check, Verdict, ok, warn


def devices(_facts: Facts) -> tuple[str, ...]:
    """Return the devices whose packets may be routed to 127.0.0.0/8; "all" is every device."""
    return tuple(sorted(path.parent.name for path in (SYS / "ipv4/conf").glob("*/route_localnet") if _is_on(path)))


def _is_on(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii").strip() == "1"
    return False


def route_localnet(facts: Facts) -> Verdict:
    """route_localnet is off, or a rule protects 127.0.0.0/8; nplconf does not need it."""
    found = facts.read(devices)
    if not found:
        return ok("off (nplconf does not need it)")
    tables = facts.read(filters)
    if not isinstance(tables, Unknown) and any(map(_guards, tables)):
        return ok(f"on for {', '.join(found)}; a rule protects 127.0.0.0/8 from other machines")
    # with slashes: a device's name may have dots
    keys = " ".join(f"net/ipv4/conf/{device}/route_localnet=0" for device in found)
    return warn(
        f"on for {', '.join(found)}: other machines may reach services on 127.0.0.1; nplconf does not need it",
        f"sysctl -w {keys}",
    )


def _guards(table: Filter) -> bool:
    """Return whether a table has a rule such as the kubelet's."""
    return any("-d 127.0.0.0/8" in line and line.endswith("-j DROP") for line in table.lines)


CHECKS = (Check("route-localnet", 60, route_localnet),)
