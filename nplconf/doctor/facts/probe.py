"""The path of a packet to a live mapping, from the kernel's trace of one packet for each family and protocol.

The packet is given to the device that clients' packets come in by (`nplconf.node.injection`). A table of nftables that
exists for this moment traces it, and drops it after everything else: no Pod sees it, and no connection is recorded.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_interface, ip_network
from typing import Any, NamedTuple

from nplconf.doctor.facts import Facts
from nplconf.doctor.facts.kernel import DEADLINE
from nplconf.doctor.facts.netfilter import live
from nplconf.errors import NplconfError
from nplconf.model import Family, LiveRule
from nplconf.node import command, injection, libnftables, packet, state
from nplconf.node.nftrace import Step, Trace
from nplconf.node.packet import Packet

TABLE = "nplconf-probe"
SECONDS = 3.0
"""For one packet."""
FIRST, LAST, INGRESS = -500, 2147483646, -2147483647
CHECKPOINTS = (
    ("start", "prerouting", FIRST),
    ("raw", "prerouting", -299),
    ("mangle", "prerouting", -149),
    ("translated", "prerouting", -50),
    ("input", "input", FIRST),
    ("forward", "forward", FIRST),
    ("forward-mangle", "forward", -149),
    ("forward-filter", "forward", 1),
    ("forward-security", "forward", 51),
    ("end", "postrouting", LAST),
)
"""Chains without an effect of their own, whose steps say how far a packet came: iptables-legacy leaves no trace."""
WORDS: dict[Family, str] = {"IPv4": "ip", "IPv6": "ip6"}


class Way(NamedTuple):
    """How a client's packet gets to this node. device: with its hardware address. source: an address beyond it."""

    device: str
    hardware: bytes
    address: str
    source: str


class Probed(NamedTuple):
    """Where a packet to a mapping ended. dropped: the rule that dropped it. reached: the checkpoints, in order."""

    rule: LiveRule
    way: Way
    packet: Packet
    dropped: Step | None
    reached: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def arrives(self) -> bool:
        """Whether nothing on this node keeps the packet from the Pod."""
        return "end" in self.reached


def probes(facts: Facts) -> tuple[Probed, ...]:
    """Return what became of one packet for each family and protocol that has a mapping, as far as it can be asked."""
    rules = (rule for rule in reversed(facts.read(live).rules) if rule.key.protocol in packet.PROTOCOLS)
    firsts = {(rule.key.family, rule.key.protocol): rule for rule in rules}
    addresses = matched(facts) if firsts else {}
    found = []
    for (family, _), rule in sorted(firsts.items()):
        for way in list(ways(family, addresses.get(family, ()), rule.source_ranges))[:1]:
            with contextlib.suppress(NplconfError, OSError):
                found.append(probe(rule, way))
    return tuple(one for one in found if one.reached)


def probe(rule: LiveRule, way: Way) -> Probed:
    """Send one packet and follow it. Raises OSError, UnavailableError, PermissionDeniedError."""
    sent = Packet(way.source, 40000 + os.getpid() % 20000, way.address, rule.key.node_port, rule.key.protocol)
    with traced(sent, rule.key.family, way.device), Trace() as trace:
        injection.inject(packet.frame(sent, way.hardware), way.device)
        steps = tuple(trace.steps(SECONDS))
    mine = {step.packet for step in steps if step.table == TABLE}
    steps = tuple(step for step in steps if step.packet in mine)
    others = tuple(step for step in steps if step.table != TABLE)
    dropped = next((step for step in others if step.drops), None)
    reached = tuple(step.chain for step in steps if step.table == TABLE)
    return Probed(rule, way, sent, dropped, reached, others)


@contextlib.contextmanager
def traced(sent: Packet, family: Family, device: str) -> Iterator[None]:
    """Have one packet traced, and dropped at its end, in this block. Raises UnavailableError, PermissionDeniedError."""
    removal = "".join(f"add table {word} {TABLE}\ndelete table {word} {TABLE}\n" for word in ("inet", "netdev"))
    try:
        if libnftables.run(removal + _table(sent, family) + _ingress(sent, family, device)).code:
            libnftables.ask(_table(sent, family))  # a kernel without netdev chains
        yield
    finally:
        libnftables.run(removal)


def _match(sent: Packet, family: Family) -> str:
    ports = f"{sent.protocol} sport {sent.source_port} {sent.protocol} dport {sent.port}"
    return f"{WORDS[family]} saddr {sent.source} {ports}"


def _table(sent: Packet, family: Family) -> str:
    flow = f"ct original {WORDS[family]} saddr {sent.source} ct original proto-src {sent.source_port}"
    rules = {
        "start": f"{_match(sent, family)} meta nftrace set 1",
        "input": f"{_match(sent, family)} drop",
        "end": f"meta l4proto {sent.protocol} {flow} drop",
    }
    chains = (
        f"add chain inet {TABLE} {name} {{ type filter hook {hook} priority {priority}; }}\n"
        for name, hook, priority in CHECKPOINTS
    )
    return "".join(
        (
            f"add table inet {TABLE}\n",
            *chains,
            *(f"add rule inet {TABLE} {name} {rule}\n" for name, rule in rules.items()),
        )
    )


def _ingress(sent: Packet, family: Family, device: str) -> str:
    chain = f'{{ type filter hook ingress device "{device}" priority {INGRESS}; }}'
    rule = f"{_match(sent, family)} meta nftrace set 1"
    return (
        f"add table netdev {TABLE}\nadd chain netdev {TABLE} ingress {chain}\nadd rule netdev {TABLE} ingress {rule}\n"
    )


# --- the way in ------------------------------------------------------------------------------------------------------


def matched(facts: Facts) -> Mapping[Family, Sequence[str]]:
    """Return the addresses that the rules match, as the last run left them."""
    return state.load(facts.settings.state_dir).state.addresses


def ways(family: Family, addresses: Sequence[str], sources: Sequence[str] = ()) -> Iterator[Way]:
    """Yield the devices with an address that the rules match, and an address of a client beyond each."""
    flag = "-4" if family == "IPv4" else "-6"
    for link in _listed("address", "show", "up"):  # with -4 it leaves the hardware address out
        hardware = bytes.fromhex(str(link.get("address", "")).replace(":", ""))
        if link.get("link_type") != "ether" or len(hardware) != 6:
            continue
        for info in link.get("addr_info", ()):
            if (address := str(info.get("local"))) in addresses:
                source = _source(flag, str(link["ifname"]), f"{address}/{info['prefixlen']}", sources)
                yield Way(str(link["ifname"]), hardware, address, source)


def _source(flag: str, device: str, interface: str, sources: Sequence[str]) -> str:
    """Return the address of a client: within the source ranges of the mapping, else the gateway, else a neighbour."""
    if sources:
        return str(ip_network(sources[0])[-1])
    for route in _listed(flag, "route", "show", "default", "dev", device):
        gateway = str(route.get("gateway", ""))
        if gateway and not gateway.startswith("fe80"):
            return gateway
    own = ip_interface(interface)
    neighbours = (own.ip + 1, own.ip - 1)
    return str(next(ip for ip in neighbours if ip in own.network or own.network.num_addresses == 1))


def _listed(*words: str) -> list[dict[str, Any]]:
    """Return what `ip --json` lists; nothing where it gives no answer."""
    with contextlib.suppress(NplconfError, ValueError):
        listed = json.loads(command.run("ip", "-json", *words, deadline=DEADLINE).text or "[]")
        return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return []


Send = Callable[[], None]


def sender(found: Probed) -> Send:
    """Return how to send the packet of a probe once more."""
    return lambda: injection.inject(packet.frame(found.packet, found.way.hardware), found.way.device)
