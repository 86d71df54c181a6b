"""The rules that the backend in use must have for some mappings."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nplconf.cache import Cache
from nplconf.model import FAMILIES, Family, PortMapping, PortRange, in_plan_order
from nplconf.plan.diff import equal_ends
from nplconf.rules import Part, RuleBackend
from nplconf.rules.masquerade import Routes, masquerade_sources
from nplconf.run.observed import Observed
from nplconf.sequences import FEW

Addresses = Mapping[Family, tuple[str, ...]]
LISTS = 2
"""How many lists of mappings have stored results: the wanted ones, and the live ones, which the last run wanted."""
RESULTS = LISTS * len(FAMILIES)
"""How many rules are stored."""


def together(rows: tuple[PortMapping, ...], further: Iterable[PortMapping]) -> tuple[PortMapping, ...]:
    """Return all these mappings in the order of a plan, in which `rows` are already."""
    more = tuple(further)
    return tuple(sorted((*rows, *more), key=in_plan_order)) if more else rows


def known_rules(
    mappings: Iterable[PortMapping], addresses: Addresses, ports: PortRange, observed: Observed, cache: Cache
) -> dict[Family, Any]:
    """Return what `rules_for` returns, made from the rules of earlier runs where that is possible.

    Args:
        mappings: The mappings to serve, in the order of plans.
        addresses: See `rules_for`.
        ports: See `rules_for`.
        observed: See `rules_for`.
        cache: Results of earlier runs.

    """
    rows = cache.last(_by_family, tuple(mappings), results=LISTS)
    found = {family: _inputs(rows[family], family, addresses, ports, observed) for family in FAMILIES}
    return {
        family: cache.last(_built, *given, results=RESULTS, adapt=_rebuilt) if given else None
        for family, given in found.items()
    }


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
    rows = _by_family(tuple(mappings))
    return {family: rules_of_family(rows[family], family, addresses, ports, observed) for family in FAMILIES}


def rules_of_family(
    rows: Iterable[PortMapping], family: Family, addresses: Addresses, ports: PortRange, observed: Observed
) -> Any:
    """Return the backend's rules for one family; None where the node has no address that could be matched.

    Args:
        rows: The mappings of this family that have a rule.
        family: The address family.
        addresses: See `rules_for`.
        ports: See `rules_for`.
        observed: See `rules_for`.

    """
    given = _inputs(tuple(rows), family, addresses, ports, observed)
    return _built(*given) if given else None


def _by_family(mappings: tuple[PortMapping, ...]) -> dict[Family, tuple[PortMapping, ...]]:
    """Return the mappings of each family that have a rule."""
    return {family: tuple(m for m in mappings if m.family == family and m.via == "dnat") for family in FAMILIES}


class _Inputs(NamedTuple):
    """What the rules of one family depend on. matched: the addresses that they match."""

    rows: tuple[PortMapping, ...]
    matched: tuple[str, ...]
    routes: Routes
    ports: PortRange
    family: Family
    rules: RuleBackend[Any]


def _inputs(
    rows: tuple[PortMapping, ...], family: Family, addresses: Addresses, ports: PortRange, observed: Observed
) -> _Inputs | None:
    matched = addresses.get(family, ())
    return _Inputs(rows, matched, observed.routes, ports, family, observed.rules) if matched else None


def _built(
    rows: tuple[PortMapping, ...],
    matched: tuple[str, ...],
    routes: Routes,
    ports: PortRange,
    family: Family,
    rules: RuleBackend[Any],
) -> Any:
    return rules.build(rows, matched, masquerade_sources(routes, {m.pod_ip for m in rows}), ports, family)


def _rebuilt(earlier: tuple[Any, ...], rules: Any, arguments: tuple[Any, ...]) -> Any:
    """Return the rules if they differ little from earlier ones; None otherwise. See `cache.Adapt`."""
    before, now = _Inputs(*earlier), _Inputs(*arguments)
    if before[1:] != now[1:]:
        return None
    first, last = equal_ends(before.rows, now.rows)
    gone, new = before.rows[first : len(before.rows) - last], now.rows[first : len(now.rows) - last]
    if FEW * max(len(gone), len(new)) > len(now.rows):
        return None
    unchanged = (*now.rows[:first], *now.rows[len(now.rows) - last :])
    changed = {m.pod_ip for m in (*gone, *new)}
    shared = {m.pod_ip for m in unchanged if m.pod_ip in changed}
    less, more = (Part(rows, masquerade_sources(now.routes, {m.pod_ip for m in rows} - shared)) for rows in (gone, new))
    return now.rules.rebuild(rules, less, more, now.family)
