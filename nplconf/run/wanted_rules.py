"""The rules that the backend in use must have for some mappings."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nplconf.cache import Cache
from nplconf.model import FAMILIES, Family, PortMapping, PortRange, in_plan_order
from nplconf.rules import RuleBackend
from nplconf.rules.masquerade import Routes, masquerade_sources
from nplconf.run.observed import Observed

Addresses = Mapping[Family, tuple[str, ...]]
RESULTS = 2 * len(FAMILIES)
"""How many rules are stored: those that are wanted, and those that are live, which were wanted in the last run."""


def together(rows: tuple[PortMapping, ...], further: Iterable[PortMapping]) -> tuple[PortMapping, ...]:
    """Return all these mappings in the order of a plan, in which `rows` are already."""
    more = tuple(further)
    return tuple(sorted((*rows, *more), key=in_plan_order)) if more else rows


def known_rules(
    mappings: Iterable[PortMapping], addresses: Addresses, ports: PortRange, observed: Observed, cache: Cache
) -> dict[Family, Any]:
    """Return what `rules_for` returns, from earlier runs where they have built it. cache: their results."""
    rows = tuple(mappings)
    found = {family: _inputs(rows, family, addresses, ports, observed) for family in FAMILIES}
    return {family: cache.last(_built, *given, results=RESULTS) if given else None for family, given in found.items()}


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
    given = _inputs(mappings, family, addresses, ports, observed)
    return _built(*given) if given else None


class _Inputs(NamedTuple):
    """What the rules of one family depend on. matched: the addresses that they match."""

    rows: tuple[PortMapping, ...]
    matched: tuple[str, ...]
    routes: Routes
    ports: PortRange
    family: Family
    rules: RuleBackend[Any]


def _inputs(
    mappings: Iterable[PortMapping], family: Family, addresses: Addresses, ports: PortRange, observed: Observed
) -> _Inputs | None:
    matched = addresses.get(family, ())
    if not matched:
        return None
    rows = tuple(m for m in mappings if m.family == family and m.via == "dnat")
    return _Inputs(rows, matched, observed.routes, ports, family, observed.rules)


def _built(
    rows: tuple[PortMapping, ...],
    matched: tuple[str, ...],
    routes: Routes,
    ports: PortRange,
    family: Family,
    rules: RuleBackend[Any],
) -> Any:
    return rules.build(rows, matched, masquerade_sources(routes, {m.pod_ip for m in rows}), ports, family)
