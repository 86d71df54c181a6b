"""The rules that the backend in use must have for some mappings."""

from collections.abc import Iterable, Mapping
from typing import Any

from nplconf.model import FAMILIES, Family, PortMapping, PortRange
from nplconf.rules.masquerade import masquerade_sources
from nplconf.run.observed import Observed

Addresses = Mapping[Family, tuple[str, ...]]


def rules_for(
    mappings: Iterable[PortMapping], addresses: Addresses, ports: PortRange, observed: Observed
) -> dict[Family, Any]:
    """Return the backend's rules for these mappings, by family.

    Args:
        mappings: The mappings to serve. Those without a rule (hostPort) are passed over.
        addresses: The node's addresses that rules match.
        ports: The port range of the node.
        observed: The node, with its backend and its routes.

    """
    rows = tuple(mappings)
    return {family: rules_of_family(rows, family, addresses, ports, observed) for family in FAMILIES}


def rules_of_family(
    mappings: Iterable[PortMapping], family: Family, addresses: Addresses, ports: PortRange, observed: Observed
) -> Any:
    """Return the backend's rules for one family; None where the node has no address that could be matched."""
    matched = addresses.get(family, ())
    if not matched:
        return None
    rows = [m for m in mappings if m.family == family and m.via == "dnat"]
    sources = masquerade_sources(observed.routes, {m.pod_ip for m in rows})
    return observed.rules.build(rows, matched, sources, ports, family)
