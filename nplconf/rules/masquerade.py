"""The packets that must be masqueraded: those whose replies would not come back through this node's conntrack.

Without it, a Pod that reaches itself (hairpin) hangs everywhere, and a Pod on the same bridge hangs where bridged
packets bypass conntrack. No other packet is masqueraded, so that Pods see the client's address.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from nplconf.model import Family, MasqueradeSource
from nplconf.rules import HOST


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the node.

    Attributes:
        network: The destination, as CIDR.
        bridged: It leads to a bridge whose packets bypass conntrack.
        device: The name of the device.
    """

    network: str
    bridged: bool
    device: str = ""


Routes = tuple[Route, ...]


def masquerade_sources(routes: Routes, pod_ips: Iterable[str]) -> tuple[MasqueradeSource, ...]:
    """Return the masquerade sources of each Pod, sorted by Pod.

    The source is the Pod's network if it is on such a bridge, otherwise its own address.
    """
    if not any(route.bridged for route in routes):
        return tuple(MasqueradeSource(ip, _host(ip)) for ip in sorted(pod_ips))
    best = _lookup(routes)
    on_bridge = cache(lambda device, family: _on_bridge(routes, device, family))

    def sources(ip: str) -> tuple[str, ...]:
        route = best(ip)
        if route is None or not route.bridged:
            return (_host(ip),)
        # a route to the Pod alone does not tell which Pods it answers directly: it may be any on the bridge
        return (route.network,) if route.network != _host(ip) else on_bridge(route.device, _family(ip))

    return tuple(MasqueradeSource(ip, source) for ip in sorted(pod_ips) for source in sources(ip))


def devices_to(routes: Routes, pod_ips: Iterable[str]) -> frozenset[str]:
    """Return the devices that lead to Pods; empty if a Pod has no known device."""
    best = _lookup(routes)
    found = [best(ip) for ip in pod_ips]
    return frozenset(r.device for r in found if r) if all(r and r.device for r in found) else frozenset()


def _on_bridge(routes: Routes, device: str, family: Family) -> tuple[str, ...]:
    """Return the networks of one family on a bridge, merged to as few as possible."""
    from ipaddress import IPv4Network, IPv6Network, collapse_addresses

    here = [r.network for r in routes if r.bridged and r.device == device and _family(r.network) == family]
    if family == "IPv4":
        return tuple(map(str, collapse_addresses(map(IPv4Network, here))))
    return tuple(map(str, collapse_addresses(map(IPv6Network, here))))


def _lookup(routes: Routes) -> Callable[[str], Route | None]:
    """Return the most specific route to an address: one look-up per prefix length, as each Pod may have a route."""
    from ipaddress import ip_address  # late import: 5 ms, needed only on a node with such a bridge

    tables: dict[tuple[int, int], dict[int, Route]] = {}
    for route in routes:
        network, _, bits = route.network.partition("/")
        first = ip_address(network)
        shift = first.max_prefixlen - int(bits)
        tables.setdefault((first.version, shift), {})[int(first) >> shift] = route
    narrowest_first = sorted(tables.items(), key=lambda item: item[0])

    def best(ip: str) -> Route | None:
        address = ip_address(ip)
        known = (table.get(int(address) >> shift) for (v, shift), table in narrowest_first if v == address.version)
        return next((route for route in known if route), None)

    return best


def _family(address: str) -> Family:
    return "IPv6" if ":" in address else "IPv4"


def _host(ip: str) -> str:
    return ip + HOST[_family(ip)]
