"""Check IP addresses and networks. Pure.

IPv4 is checked by a table in 0.6 us, where `ipaddress` needs 6; a node may have 10,000 mappings. IPv6 is checked by
`ipaddress`, which is imported only if there is an IPv6 address.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from nplconf.model import Family

if TYPE_CHECKING:
    from ipaddress import IPv6Address

Misleading = Literal["metadata", "translated"]
Special = Literal["unspecified", "loopback", "link-local", "multicast", "broadcast"]

_SPECIAL_FIRST: dict[str, Special] = {"0": "unspecified", "127": "loopback"}
_SPECIAL_FIRST |= dict.fromkeys(map(str, range(224, 240)), "multicast")
_METADATA = frozenset(("168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"))
"""Metadata services of Azure, of Amazon (for machines, and for Pods), and of Google. Those of others are link-local."""
_TRANSLATED = (
    (0x0064_FF9B << 64, 32),  # 64:ff9b::/96, NAT64
    (0x0064_FF9B_0001, 80),  # 64:ff9b:1::/48, NAT64 with a prefix of the site
    (0x2002, 112),  # 2002::/16, 6to4
    (0x2001_0000, 96),  # 2001::/32, Teredo
    (0xFFFF_0000, 32),  # ::ffff:0:0:0/96, SIIT
)
"""(prefix, number of bits after it)."""
_OCTETS = frozenset(map(str, range(256)))


def family_of(text: str) -> Family:
    """Return the family that a text, valid or not, belongs to."""
    return "IPv6" if ":" in text else "IPv4"


@lru_cache(maxsize=2**16)
def canonical(text: str) -> str | None:
    """Return the address as the kernel prints it. None if it is no address, has a scope ID, or is IPv4 in IPv6 form."""
    if ":" not in text:
        return text if _ipv4(text) else None
    address = _ipv6(text)
    return None if address is None else str(address)


@lru_cache(maxsize=2**16)
def lenient(text: str) -> str | None:
    """Return the canonical form of an address in any spelling that Kubernetes accepts; None otherwise.

    Old fields (`externalIPs`, `hostIP`) may contain 010.1.2.3, whose zeros are ignored, and ::ffff:10.1.2.3, which
    kube-proxy serves as the IPv4 address.
    """
    head, separator, tail = text.rpartition(":")
    if "." in tail:
        octets = [part.lstrip("0") or part[-1:] for part in tail.split(".")]
        tail = ".".join(octets)
    if not separator:
        return canonical(tail)
    from ipaddress import IPv6Address

    try:
        address = IPv6Address(f"{head}:{tail}")
    except ValueError:
        return None
    return str(address.ipv4_mapped) if address.ipv4_mapped else canonical(str(address))


def special(text: str) -> Special | None:
    """Return why a canonical address cannot belong to one machine on a network; None if it can."""
    if ":" not in text:
        return _special_ipv4(text)
    address = _ipv6(text)
    if address is None or address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_multicast:
        return "multicast"
    return "link-local" if address.is_link_local else None


def misleading(text: str) -> Misleading | None:
    """Return why a canonical address of a machine cannot be a Pod's; None if it can.

    metadata: a cloud's service that gives credentials to clients on the node. translated: a network that translates the
    address to any IPv4 address, perhaps the node's own.
    """
    if ":" not in text:
        return "metadata" if text in _METADATA else None
    address = _ipv6(text)
    if address is None or text in _METADATA:
        return "metadata"
    return "translated" if any(int(address) >> shift == prefix for prefix, shift in _TRANSLATED) else None


def address_fault(text: str, family: Family) -> str | None:
    """Return why a text is not an address of a Pod or node in `family`, as a verb phrase; None if it is one.

    Only the spelling of iptables and the API server is valid, so that addresses can be compared as strings.
    """
    address = canonical(text)
    if address is None:
        return "is no IP address, or has a zone, or is an IPv4 address in disguise"
    if family_of(address) != family:
        return f"is not an {family} address"
    if address != text:
        return f"is to be written {address}"
    kind = special(address)
    return f"is a {kind} address" if kind else None


def network_fault(text: str) -> str | None:
    """Return why a text is not a network (CIDR) in its canonical spelling, as a verb phrase; None if it is one."""
    from netaddr import AddrFormatError, IPNetwork

    try:
        network = IPNetwork(text)
    except (AddrFormatError, ValueError):
        return "is not a network (CIDR)"
    if ":" in text and "." in str(network):
        return "is an IPv4 network in disguise"
    if network.ip != network.network:
        return f"has host bits; the network is {network.cidr}"
    return None if str(network) == text else f"is to be written {network}"


def _ipv4(text: str) -> bool:
    """Return whether a text is four decimal numbers without leading zeros. Then it is canonical."""
    parts = text.split(".")
    return len(parts) == 4 and _OCTETS.issuperset(parts)


def _special_ipv4(text: str) -> Special | None:
    first, _, rest = text.partition(".")
    if first == "169" and rest.startswith("254."):
        return "link-local"
    return "broadcast" if text == "255.255.255.255" else _SPECIAL_FIRST.get(first)


@lru_cache(maxsize=2**16)
def _ipv6(text: str) -> "IPv6Address | None":
    from ipaddress import IPv6Address  # late import: 8 ms, not needed in an IPv4 cluster

    try:
        address = IPv6Address(text)
    except ValueError:
        return None
    # an address printed with dots (::ffff:10.0.0.1, ::10.0.0.1) is an IPv4 address, not used on an IPv6 network
    disguised = address.ipv4_mapped or 1 << 16 <= int(address) < 1 << 32
    return None if address.scope_id or disguised else address


def clear_caches() -> None:
    """Drop the parsed addresses. A process that lives long would keep those of each Pod that it ever had."""
    for cached in (canonical, lenient, _ipv6):
        cached.cache_clear()
