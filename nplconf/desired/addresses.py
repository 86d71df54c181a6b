"""The node's addresses: which one is advertised, and which ones rules match."""

from collections.abc import Iterator, Mapping

from nplconf.addresses import canonical, family_of, special
from nplconf.model import FAMILIES, Family, Node

# in the order of preference, for each family
_ADVERTISED_TYPES = ("ExternalIP", "InternalIP")


def node_ips(node: Node, overrides: Mapping[Family, str]) -> dict[Family, str]:
    """Return the address to advertise, per family: by the override, else the first usable ExternalIP, else InternalIP.

    An override is an address, or types of the Node's addresses and networks, the preferred first, separated by "|".
    Where none of these is found, nothing is advertised.
    """
    found: dict[Family, str] = {}
    for family in FAMILIES:
        address = _chosen(node, family, overrides.get(family) or "|".join(_ADVERTISED_TYPES))
        if address:
            found[family] = address
    return found


def given(overrides: Mapping[Family, str]) -> dict[Family, str]:
    """Return the overrides that are addresses; the others depend on the Node object."""
    return {family: text for family, text in overrides.items() if canonical(text)}


def matched_addresses(node: Node, advertised: Mapping[Family, str]) -> dict[Family, tuple[str, ...]]:
    """Return the addresses at which mappings are reached: those of the node and the advertised ones, without loopback.

    They are canonical, sorted and unique. A family without any has an empty tuple.
    """
    given = [address for kind, address in node.addresses if kind in _ADVERTISED_TYPES] + list(advertised.values())
    real = {address for text in given if (address := canonical(text))}
    reachable = sorted(a for a in real if special(a) in (None, "link-local"))
    return {family: tuple(a for a in reachable if family_of(a) == family) for family in FAMILIES}


def own_addresses(node: Node, advertised: Mapping[Family, str]) -> frozenset[str]:
    """Return every address of the node, of any type."""
    given = [address for _, address in node.addresses] + list(advertised.values())
    return frozenset(address for text in given if (address := canonical(text)))


def _chosen(node: Node, family: Family, override: str) -> str | None:
    if address := _usable(override, family):
        return address
    candidates = (a for wanted in override.split("|") for a in _candidates(node, family, wanted))
    return next(candidates, None)


def _candidates(node: Node, family: Family, wanted: str) -> Iterator[str]:
    """Yield the node's usable addresses of a type, or in a network."""
    for kind, text in node.addresses:
        address = _usable(text, family)
        if address and (kind == wanted or ("/" in wanted and _lies_in(address, wanted))):
            yield address


def _lies_in(address: str, network: str) -> bool:
    from netaddr import IPAddress, IPNetwork  # 50 ms that only a node with such an option pays

    return IPAddress(address) in IPNetwork(network)


def _usable(text: str, family: Family) -> str | None:
    address = canonical(text) if family_of(text) == family else None
    return address if address and special(address) is None else None
