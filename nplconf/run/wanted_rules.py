"""The rules that the backend in use must have for some mappings."""

from collections.abc import Iterable, Mapping
from typing import Any

from nplconf.cache import Cache
from nplconf.model import FAMILIES, Family, PortMapping, PortRange
from nplconf.rules import RuleBackend
from nplconf.rules.masquerade import Routes, masquerade_sources
from nplconf.run.observed import Observed

Addresses = Mapping[Family, tuple[str, ...]]
RESULTS = 2 * len(FAMILIES)
"""How many rules are stored: those that are wanted, and those that are live, which were wanted in the last run."""


def rules_for(
    mappings: Iterable[PortMapping],
    addresses: Addresses,
    ports: PortRange,
    observed: Observed,
    cache: Cache | None = None,
) -> dict[Family, Any]:
    """Return the backend's rules for these mappings, by family.

    Args:
        mappings: The mappings to serve. Those without a rule (hostPort) are passed over.
        addresses: The node's addresses that rules match.
        ports: The port range of the node.
        observed: The node, with its backend and its routes.
        cache: Results of earlier runs.

    """
    rows = tuple(mappings)
    cache = cache or Cache()
    return {family: rules_of_family(rows, family, addresses, ports, observed, cache) for family in FAMILIES}


def rules_of_family(
    mappings: Iterable[PortMapping],
    family: Family,
    addresses: Addresses,
    ports: PortRange,
    observed: Observed,
    cache: Cache,
) -> Any:
    """Return the backend's rules for one family; None where the node has no address that could be matched."""
    matched = addresses.get(family, ())
    if not matched:
        return None
    rows = tuple(m for m in mappings if m.family == family and m.via == "dnat")
    return cache.last(_built, rows, matched, observed.routes, ports, family, observed.rules, results=RESULTS)


def _built(
    rows: tuple[PortMapping, ...],
    matched: tuple[str, ...],
    routes: Routes,
    ports: PortRange,
    family: Family,
    rules: RuleBackend[Any],
) -> Any:
    return rules.build(rows, matched, masquerade_sources(routes, {m.pod_ip for m in rows}), ports, family)
