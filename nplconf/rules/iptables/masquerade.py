"""The chains that masquerade, arranged so that other packets traverse few rules."""

from collections.abc import Iterable
from zlib import crc32

from nplconf.model import Family, MasqueradeSource, PortRange
from nplconf.rules import HOST
from nplconf.rules.iptables.rule import Rule, span

CHAIN = "NPLCONF-MASQ"
KEEP = Rule("ACCEPT")
"""Ends the chain for a packet whose source address must stay.

Some CNIs masquerade everything from outside (`! -s podCIDR -d podCIDR -j MASQUERADE`), so that the Pod would see the
node instead of its client. Packets with the mark of kube-proxy or portmap go on, since those programs masquerade them.
"""


def chains(
    sources: Iterable[MasqueradeSource], addresses: Iterable[str], ports: PortRange, post: str, family: Family
) -> dict[str, tuple[Rule, ...]]:
    """Return the chains: flows to mapped ports, then a gate per source and block, then one rule per Pod.

    A packet that these chains do not masquerade is not masqueraded by later foreign rules either.
    """
    pods: dict[str, list[Rule]] = {}
    gates: set[Rule] = set()
    names: dict[str, str] = {}
    suffix = HOST[family]
    for pod_ip, source in sources:
        block = _block(pod_ip, family)
        name = names.get(block)
        if name is None:
            # blocks with the same hash share a chain: each rule in it has its complete match
            name = names[block] = f"{CHAIN}-{crc32(block.encode()):08X}"
            pods.setdefault(name, [])
        host = pod_ip + suffix
        pods[name].append(Rule("MASQUERADE", False, source, host))
        gates.add(Rule(name, goto=True, source=block if source == host else source, destination=block))
    numbers = span(ports.first, ports.last)
    flows = (Rule(CHAIN, goto=True, original=address, original_ports=numbers) for address in addresses)
    behind = {name: (*sorted(rules), KEEP) for name, rules in sorted(pods.items())}
    return {post: tuple(flows), CHAIN: (*sorted(gates), KEEP)} | behind


def _block(ip: str, family: Family) -> str:
    """Return the 256 addresses around one. Because of these blocks, an outside client traverses no rule per Pod."""
    if family == "IPv4":
        return ip[: ip.rindex(".")] + ".0/24"
    import ipaddress

    return str(ipaddress.ip_network(f"{ip}/120", strict=False))
