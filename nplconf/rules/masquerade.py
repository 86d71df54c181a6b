"""Who must be masqueraded: sources whose replies would not come back through this node's conntrack.

A Pod that reaches itself (hairpin) hangs without it everywhere; a neighbour on the same bridge does where bridged
packets pass conntrack by. Nobody else is ever masqueraded, so that Pods see who asks.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from zlib import crc32

from nplconf.model import Family, Neighbourhood, PortRange
from nplconf.rules.rule import HOST, Rule, span

CHAIN = "NPLCONF-MASQ"


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the node. network: CIDR. bridged: on a bridge whose packets pass conntrack by."""

    network: str
    bridged: bool


Routes = tuple[Route, ...]


def neighbourhoods(routes: Routes, pod_ips: Iterable[str]) -> tuple[Neighbourhood, ...]:
    """Each Pod's sources to masquerade, sorted: its neighbours' network on such a bridge, else its own address."""
    if not any(route.bridged for route in routes):
        return tuple(Neighbourhood(ip, _host(ip)) for ip in sorted(pod_ips))
    best = _lookup(routes)

    def source(ip: str) -> str:
        route = best(ip)
        return route.network if route and route.bridged else _host(ip)

    return tuple(Neighbourhood(ip, source(ip)) for ip in sorted(pod_ips))


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
    neighbours: Iterable[Neighbourhood], addresses: Iterable[str], ports: PortRange, post: str, family: Family
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


def _host(ip: str) -> str:
    return ip + HOST["IPv6" if ":" in ip else "IPv4"]


def _block(ip: str, family: Family) -> str:
    """The 256 addresses around one, which Pods are grouped by so that an outside client walks no rule per Pod."""
    if family == "IPv4":
        return ip[: ip.rindex(".")] + ".0/24"
    import ipaddress

    return str(ipaddress.ip_network(f"{ip}/120", strict=False))
