"""The chains that masquerade: which packets they match, and how few rules others walk."""

from collections.abc import Iterable
from zlib import crc32

from nplconf.model import Family, MasqueradeSource, PortRange
from nplconf.rules import HOST
from nplconf.rules.iptables.rule import Rule, span

CHAIN = "NPLCONF-MASQ"
KEEP = Rule("ACCEPT")
"""Ends the way of a packet whose source address must stay.

Some CNIs masquerade whatever comes from outside (`! -s podCIDR -d podCIDR -j MASQUERADE`); the Pod would see the node
instead of its client. What kube-proxy or portmap has marked is theirs to masquerade, and goes on.
"""


def chains(
    neighbours: Iterable[MasqueradeSource], addresses: Iterable[str], ports: PortRange, post: str, family: Family
) -> dict[str, tuple[Rule, ...]]:
    """The chains that masquerade: flows to our numbers, then a gate per source and block, then one rule per Pod.

    Who is not masqueraded there is not masqueraded by the rules of others that follow, either.
    """
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
    behind = {name: (*sorted(rules), KEEP) for name, rules in sorted(pods.items())}
    return {post: tuple(flows), CHAIN: (*sorted(gates), KEEP)} | behind


def _block(ip: str, family: Family) -> str:
    """The 256 addresses around one, which Pods are grouped by so that an outside client walks no rule per Pod."""
    if family == "IPv4":
        return ip[: ip.rindex(".")] + ".0/24"
    import ipaddress

    return str(ipaddress.ip_network(f"{ip}/120", strict=False))
