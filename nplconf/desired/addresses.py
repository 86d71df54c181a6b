"""The node's addresses: which one is advertised, which ones are matched."""

from collections.abc import Mapping

from nplconf.addresses import canonical, family_of, special
from nplconf.model import FAMILIES, Family, Node

# in the order of preference, each family for itself
_ADVERTISED_TYPES = ("ExternalIP", "InternalIP")


def node_ips(node: Node, overrides: Mapping[Family, str]) -> dict[Family, str]:
    """What is advertised, per family: the override, else the first usable ExternalIP, else InternalIP, else nothing."""
    found: dict[Family, str] = {}
    for family in FAMILIES:
        address = _usable(overrides.get(family, ""), family) or _first(node, family)
        if address:
            found[family] = address
    return found


def matched_addresses(node: Node, advertised: Mapping[Family, str]) -> dict[Family, tuple[str, ...]]:
    """The destinations at which mappings are reached: all addresses of the node and the advertised ones, but loopback.

    Canonical, sorted, each once; a family without any has an empty tuple.
    """
    given = [address for kind, address in node.addresses if kind in _ADVERTISED_TYPES] + list(advertised.values())
    real = {address for text in given if (address := canonical(text))}
    reachable = sorted(a for a in real if special(a) in (None, "link-local"))
    return {family: tuple(a for a in reachable if family_of(a) == family) for family in FAMILIES}


def own_addresses(node: Node, advertised: Mapping[Family, str]) -> frozenset[str]:
    """Every address that is the node's, of any type."""
    given = [address for _, address in node.addresses] + list(advertised.values())
    return frozenset(address for text in given if (address := canonical(text)))


def _first(node: Node, family: Family) -> str | None:
    for wanted in _ADVERTISED_TYPES:
        for kind, text in node.addresses:
            if kind == wanted and (address := _usable(text, family)):
                return address
    return None


def _usable(text: str, family: Family) -> str | None:
    address = canonical(text) if family_of(text) == family else None
    return address if address and special(address) is None else None
