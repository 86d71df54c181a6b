"""Who must be masqueraded: sources whose replies would not come back through this node's conntrack.

A Pod that reaches itself (hairpin) hangs without it everywhere; a neighbour on the same bridge does where bridged
packets pass conntrack by. Nobody else is ever masqueraded, so that Pods see who asks.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from zlib import crc32

from nplconf.model import Family, MasqueradeSource, PortRange
from nplconf.rules.iptables.rule import HOST, Rule, span

CHAIN = "NPLCONF-MASQ"


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the node. network: CIDR. bridged: on a bridge whose packets pass conntrack by. device: its name."""

    network: str
    bridged: bool
    device: str = ""


Routes = tuple[Route, ...]


def masquerade_sources(routes: Routes, pod_ips: Iterable[str]) -> tuple[MasqueradeSource, ...]:
    """Each Pod's sources to masquerade, sorted by Pod: its neighbours on such a bridge, else its own address."""
    if not any(route.bridged for route in routes):
        return tuple(MasqueradeSource(ip, _host(ip)) for ip in sorted(pod_ips))
    best = _lookup(routes)
    on_bridge = cache(lambda device, family: _on_bridge(routes, device, family))

    def sources(ip: str) -> tuple[str, ...]:
        route = best(ip)
        if route is None or not route.bridged:
            return (_host(ip),)
        # a route for the Pod alone does not tell which neighbours it answers directly: it may be any on the bridge
        return (route.network,) if route.network != _host(ip) else on_bridge(route.device, _family(ip))

    return tuple(MasqueradeSource(ip, source) for ip in sorted(pod_ips) for source in sources(ip))


def _on_bridge(routes: Routes, device: str, family: Family) -> tuple[str, ...]:
    """All that one family has on a bridge, in as few networks as say just that."""
    from ipaddress import IPv4Network, IPv6Network, collapse_addresses

    here = [r.network for r in routes if r.bridged and r.device == device and _family(r.network) == family]
    if family == "IPv4":
        return tuple(map(str, collapse_addresses(map(IPv4Network, here))))
    return tuple(map(str, collapse_addresses(map(IPv6Network, here))))


def _lookup(routes: Routes) -> Callable[[str], Route | None]:
    """The most specific route to an address: one look per length of prefix, as a node may have a route per Pod."""
    from ipaddress import ip_address  # 5 ms that only a node with such a bridge pays

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


def chains(
    neighbours: Iterable[MasqueradeSource], addresses: Iterable[str], ports: PortRange, post: str, family: Family
) -> dict[str, tuple[Rule, ...]]:
    """The chains that masquerade: flows to our numbers, then a gate per source and block, then one rule per Pod."""
    pods: dict[str, list[Rule]] = {}
    gates: set[Rule] = set()
    names: dict[str, str] = {}
    suffix = HOST[family]
    for pod_ip, source in neighbours:
        block = _block(pod_ip, family)
        name = names.get(block)
        if name is None:
            # blocks that happen to have one name share its chain: each rule in it says the whole of what it matches
            name = names[block] = f"{CHAIN}-{crc32(block.encode()):08X}"
            pods.setdefault(name, [])
        host = pod_ip + suffix
        pods[name].append(Rule("MASQUERADE", False, source, host))
        gates.add(Rule(name, goto=True, source=block if source == host else source, destination=block))
    numbers = span(ports.first, ports.last)
    flows = (Rule(CHAIN, goto=True, original=address, original_ports=numbers) for address in addresses)
    behind = {name: tuple(sorted(rules)) for name, rules in sorted(pods.items())}
    return {post: tuple(flows), CHAIN: tuple(sorted(gates))} | behind


def _family(address: str) -> Family:
    return "IPv6" if ":" in address else "IPv4"


def _host(ip: str) -> str:
    return ip + HOST[_family(ip)]


def _block(ip: str, family: Family) -> str:
    """The 256 addresses around one, which Pods are grouped by so that an outside client walks no rule per Pod."""
    if family == "IPv4":
        return ip[: ip.rindex(".")] + ".0/24"
    import ipaddress

    return str(ipaddress.ip_network(f"{ip}/120", strict=False))
