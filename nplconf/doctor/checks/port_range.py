"""Check `port-range`: the hold daemon can bind the range, and the kernel does not use its ports."""

import contextlib
from typing import NamedTuple

from nplconf.doctor.facts import Facts
from nplconf.doctor.facts.kernel import sysctl
from nplconf.doctor.verdict import Check, Verdict, fail, ok, warn
from nplconf.install import reserved
from nplconf.model import PortRange


class KernelPorts(NamedTuple):
    """Ports of the kernel. outgoing: for connections. reserved: not used for them. unprivileged: from here on."""

    outgoing: PortRange
    reserved: tuple[PortRange, ...]
    unprivileged: int


def ports(_facts: Facts) -> KernelPorts:
    """Return the kernel's own use of ports."""
    first, last = map(int, sysctl("ipv4/ip_local_port_range").split())
    listed: tuple[PortRange, ...] = ()
    with contextlib.suppress(OSError):
        listed = reserved.read()
    return KernelPorts(PortRange(first, last), listed, int(sysctl("ipv4/ip_unprivileged_port_start") or 1024))


def port_range(facts: Facts) -> Verdict:
    """No port of the range is root's alone, or given to outgoing connections."""
    wanted, found = facts.settings.port_range, facts.read(ports)
    if wanted.first < found.unprivileged:
        message = f"{wanted}: only root may bind ports below {found.unprivileged}, and the hold daemon is not root"
        return fail(message, f"sysctl -w net.ipv4.ip_unprivileged_port_start={wanted.first}")
    listed = {port for span in found.reserved for port in span.numbers}
    shared = range(max(wanted.first, found.outgoing.first), min(wanted.last, found.outgoing.last) + 1)
    if unreserved := [port for port in shared if port not in listed]:
        message = f"the kernel may use {len(unreserved)} ports of {wanted} for outgoing connections ({found.outgoing})"
        return warn(message, f"nplconf hold --reserve --port-range {wanted}")
    how = "is reserved" if shared else "lies outside ip_local_port_range"
    return ok(f"{wanted} {how}: the kernel does not use these ports for outgoing connections")


CHECKS = (Check("port-range", 70, port_range),)
