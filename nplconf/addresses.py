"""Which texts are IP addresses and networks that a mapping can have. Pure."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from nplconf.model import Family


@lru_cache(maxsize=1024)  # a node's own address stands in thousands of rows
def address_fault(text: str, family: Family) -> str | None:
    """Why `text` is no address of a Pod or a node in `family`, in words that follow it; None when it is one.

    Only one spelling is right, so that addresses can be compared as strings: what iptables and the API server print.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return "is not an IP address"
    if (address.version == 4) != (family == "IPv4"):
        return f"is not an {family} address"
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address.ipv4_mapped is not None):
        return "has a zone or is an IPv4 address in disguise"
    if str(address) != text:
        return f"is to be written {address}"
    return _unusable(address)


def _unusable(address: IPv4Address | IPv6Address) -> str | None:
    if address.is_unspecified or str(address).startswith("0."):  # all of 0.0.0.0/8 is "this host"
        return "is the unspecified address"
    if address.is_loopback:
        return "is a loopback address"
    if address.is_link_local:
        return "is a link-local address"
    if address.is_multicast or str(address) == "255.255.255.255":
        return "is a multicast or broadcast address"
    return None


def network_fault(text: str) -> str | None:
    """Why `text` is no network (CIDR) in its one right spelling, in words that follow it; None when it is one."""
    from netaddr import AddrFormatError, IPNetwork

    try:
        network = IPNetwork(text)
    except (AddrFormatError, ValueError):
        return "is not a network (CIDR)"
    if network.ip != network.network:
        return f"has host bits; the network is {network.cidr}"
    return None if str(network) == text else f"is to be written {network}"
