"""The fixed frame of the table `inet nplconf`: its chains with their rules, and the declarations of its sets.

Everything that changes is an element of a set. So the frame is one constant, in the form in which nft lists it with
numeric output. A table with another frame is written again as a whole.

The priorities were measured beside kube-proxy, firewalld, ufw and the rule sets of CNIs. A lower number comes first.
Among nat chains, the first one that translates a packet ends the translation. At equal priorities the chain registered
last comes first, so every priority here is one that none of these programs has. kube-proxy and iptables are at -100
(dstnat) and 100 (srcnat), firewalld at -90 and 110. In prerouting and output, nplconf comes behind them, so that a
Service keeps its traffic (CVE-2019-9946). In postrouting, nplconf comes before them: `snat to saddr` fixes the source
address of a flow, so that a later masquerade of a CNI does not hide the client from the Pod.
"""

from collections.abc import Iterator, Mapping
from functools import cache

from nplconf.model import FAMILIES, PROTOCOLS, Family, Protocol

TABLE = "inet nplconf"
VERSION = 1
"""The format of the table. A table of another format is written again."""

Frame = Mapping[str, tuple[str, ...]]
"""The lines of each object, by "chain NAME", "set NAME" or "map NAME"; those of the table itself by ""."""

LOCAL = 2
"""RTN_LOCAL: the type of the addresses that the kernel delivers to this machine."""
DNAT = "0x20"
"""IPS_DST_NAT in the status of a flow."""
NUMBERS: dict[Protocol, int] = {"tcp": 6, "udp": 17, "sctp": 132}
DSTNAT = -80
SRCNAT = 90
BASES = ("prerouting", "output", "postrouting")
_WORDS: dict[Family, tuple[str, str]] = {"IPv4": ("ip", "ipv4_addr"), "IPv6": ("ip6", "ipv6_addr")}


# --- the names of sets -----------------------------------------------------------------------------------------------


def addresses(family: Family) -> str:
    """Return the name of the set of the node's addresses that clients may send to."""
    return f"addresses-{family.lower()}"


def published(family: Family) -> str:
    """Return the name of the set of (address, port range) by which later packets of a mapping's flow are recognised."""
    return f"published-{family.lower()}"


def ports(protocol: Protocol, family: Family) -> str:
    """Return the name of the map from node port to Pod."""
    return f"{protocol}-{family.lower()}"


def restricted(protocol: Protocol, family: Family) -> str:
    """Return the name of the same map for mappings with source ranges."""
    return f"{protocol}-{family.lower()}-restricted"


def sources(protocol: Protocol, family: Family) -> str:
    """Return the name of the set of (source range, node port)."""
    return f"{protocol}-{family.lower()}-sources"


def hairpin(family: Family) -> str:
    """Return the name of the set of Pods whose packets to themselves are masqueraded."""
    return f"hairpin-{family.lower()}"


def bridged(family: Family) -> str:
    """Return the name of the set of (source network, Pod) between which packets are masqueraded."""
    return f"bridged-{family.lower()}"


# --- the frame -------------------------------------------------------------------------------------------------------


@cache
def frame() -> Frame:
    """Return the frame of a table of this format."""
    found: dict[str, tuple[str, ...]] = {"": (f'comment "nplconf format {VERSION}"',)}
    for family in FAMILIES:
        found |= _declarations(family)
    found["chain dispatch"] = (
        "ip saddr 127.0.0.0/8 return",  # the answer would never leave the node
        "ip6 saddr ::1 return",
        f"fib daddr type != {LOCAL} return",
        *(f"{_WORDS[f][0]} daddr @{addresses(f)} goto dispatch-{f.lower()}" for f in FAMILIES),
    )
    for family in FAMILIES:
        found[f"chain dispatch-{family.lower()}"] = tuple(_dispatch(family))
        found[f"chain source-{family.lower()}"] = tuple(_source(family))
    found["chain prerouting"] = (_base("prerouting", DSTNAT), "jump dispatch")
    found["chain output"] = (_base("output", DSTNAT), "jump dispatch")
    found["chain postrouting"] = (_base("postrouting", SRCNAT), *(r for f in FAMILIES for r in _published_flows(f)))
    return found


def _declarations(family: Family) -> Frame:
    address = _WORDS[family][1]
    found: dict[str, tuple[str, ...]] = {f"set {addresses(family)}": (f"type {address}",)}
    intervals = "flags interval"
    found[f"set {published(family)}"] = (f"type {address} . inet_service", intervals)
    for protocol in PROTOCOLS:
        target = f"type inet_service : {address} . inet_service"
        found[f"map {ports(protocol, family)}"] = (target,)
        found[f"map {restricted(protocol, family)}"] = (target,)
        found[f"set {sources(protocol, family)}"] = (f"type {address} . inet_service", intervals)
    found[f"set {hairpin(family)}"] = (f"type {address} . {address}",)
    found[f"set {bridged(family)}"] = (f"type {address} . {address}", intervals)
    return found


def _base(hook: str, priority: int) -> str:
    return f"type nat hook {hook} priority {priority}; policy accept;"


def _dispatch(family: Family) -> Iterator[str]:
    """Return the rules of the dispatch chain. A packet that no rule translates goes on to foreign chains."""
    word = _WORDS[family][0]
    for protocol in PROTOCOLS:
        to = f"dnat {word} to {protocol} dport map"
        yield f"{to} @{ports(protocol, family)}"
        allowed = f"{word} saddr . {protocol} dport @{sources(protocol, family)}"
        yield f"{allowed} {to} @{restricted(protocol, family)}"


def _published_flows(family: Family) -> Iterator[str]:
    """Return one rule for each protocol: nft knows the type of proto-dst only behind a protocol."""
    original = f"ct original {_WORDS[family][0]} daddr . ct original proto-dst @{published(family)}"
    for protocol in PROTOCOLS:
        yield f"ct status {DNAT} meta l4proto {NUMBERS[protocol]} {original} goto source-{family.lower()}"


def _source(family: Family) -> tuple[str, ...]:
    word = _WORDS[family][0]
    pair = f"{word} saddr . {word} daddr"
    return (
        f"{pair} @{hairpin(family)} masquerade",
        f"{pair} @{bridged(family)} masquerade",
        f"snat {word} to {word} saddr",
    )
