"""Check `ip-forward`: the kernel routes packets of clients to Pods: forwarding is on, and rp_filter drops none."""

from collections.abc import Mapping
from typing import NamedTuple

from nplconf.doctor.facts import Facts
from nplconf.doctor.facts.cluster import pod_addresses
from nplconf.doctor.facts.kernel import device_of_route, sysctl
from nplconf.doctor.facts.netfilter import live
from nplconf.doctor.facts.probe import matched, probes, ways
from nplconf.doctor.verdict import Check, Verdict, fail, ok, warn
from nplconf.model import Family

SYSCTL: dict[Family, str] = {"IPv4": "net.ipv4.ip_forward", "IPv6": "net.ipv6.conf.all.forwarding"}
STRICT = 1
"""The value of rp_filter that drops a packet whose answer would leave by another device; "all" and the device: max."""
CLIENT = "198.51.100.1"
"""A client beyond every network of the node (TEST-NET-2)."""


def forwards(facts: Facts) -> Mapping[Family, bool]:
    """Return for every family that Pods here have whether the kernel forwards it."""
    families = tuple(facts.read(pod_addresses)) or ("IPv4",)
    return {family: sysctl(SYSCTL[family].removeprefix("net.").replace(".", "/")) == "1" for family in families}


class Filtered(NamedTuple):
    """A device whose strict rp_filter drops packets of clients, and the device by which answers to them leave."""

    device: str
    address: str
    leaves: str


def filtered(facts: Facts) -> tuple[Filtered, ...]:
    """Return the devices with an address of the node whose rp_filter drops what clients beyond the network send."""
    found = []
    for way in ways("IPv4", matched(facts).get("IPv4", ())) if facts.read(live).rules else ():
        leaves = device_of_route("route", "get", CLIENT, "from", way.address)
        if leaves not in ("", way.device) and is_strict(way.device):
            found.append(Filtered(way.device, way.address, leaves))
    return tuple(found)


def is_strict(device: str) -> bool:
    """Return whether rp_filter of a device is strict: the larger value of its own and that of "all" counts."""
    values = [sysctl(f"ipv4/conf/{name}/rp_filter") for name in ("all", device)]
    return max(int(value) for value in values if value.isdigit()) == STRICT if any(values) else False


def unrouted(facts: Facts) -> tuple[tuple[str, str], ...]:
    """Return (target, Pod IP) of the packets that the routing of this node dropped."""
    dropped = (one for one in facts.read(probes) if one.dropped is None and one.reached[-1] == "translated")
    return tuple((f"{one.packet.destination}:{one.packet.port}", one.rule.pod_ip) for one in dropped)


def ip_forward(facts: Facts) -> Verdict:
    """The routing drops no packet to a Pod."""
    found = facts.read(forwards)
    if off := [SYSCTL[family] for family, on in found.items() if not on]:
        return fail(f"{', '.join(off)} is off: no packet reaches a Pod", f"sysctl -w {' '.join(f'{k}=1' for k in off)}")
    if strict := facts.read(filtered):
        return warn(
            "; ".join(
                f"rp_filter=1 on {one.device} drops packets to {one.address}: answers leave by {one.leaves}"
                for one in strict
            ),
            # with slashes: a device's name may have dots
            f"sysctl -w {' '.join(f'net/ipv4/conf/{one.device}/rp_filter=2' for one in strict)}",
        )
    if lost := facts.read(unrouted):
        target, pod = lost[0]
        return fail(f"the routing of this node drops a packet to {target} (Pod {pod})", f"ip route get {pod}")
    return ok(f"forwarding is on ({', '.join(found)})")


CHECKS = (Check("ip-forward", 40, ip_forward),)
