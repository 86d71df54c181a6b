"""Aliases: the second of two node ports that Antrea gave to one Pod port, by protocol or IP family. Pure.

nplconf has one number for each Pod port. A load balancer that still uses the other number must lose nothing, so its
rule stays for the cool-down after the adoption, held and unpublished. An alias leads where the mapping of its Pod port,
protocol and family leads, so it follows the Pod to a new address and ends with that mapping.
"""

from collections.abc import Collection, Iterable, Mapping

from nplconf.model import Plan, Pod, PodPort, PortMapping, RuleKey
from nplconf.plan.state import Alias
from nplconf.run import adoption
from nplconf.run.decision_options import Options
from nplconf.run.observed import Observed, usable

NEW, ENDED = "alias", "alias-ended"
"""Why the rule of an alias comes and goes."""


def current(observed: Observed, pods: Iterable[Pod], period: float) -> tuple[Alias, ...]:
    """Return the possible aliases: the rules of Antrea's chains, and the stored aliases whose period is not over.

    Args:
        observed: The node as it was read.
        pods: This node's Pods, whose addresses name the owners of Antrea's rules.
        period: Seconds from the removal of the chain to the end.

    """
    found = {key: Alias(key, owner) for key, owner in adoption.owned(observed.antrea, pods)}
    for alias in observed.state.aliases:
        since = _since(alias, observed)
        if alias.key not in found and not alias.ended and observed.now - since < period:
            found[alias.key] = alias._replace(since=since)
    return tuple(found[key] for key in sorted(found))


def _since(alias: Alias, observed: Observed) -> float:
    """Return when the period began, by the clock of this boot. A reboot starts it anew, as it does for a cool-down."""
    same_boot = observed.state.boot == observed.boot
    known = alias.since is not None and same_boot and alias.since <= observed.now
    return alias.since if known and alias.since is not None else observed.now


def rows(
    possible: Iterable[Alias], plan: Plan, live: Iterable[PortMapping], observed: Observed, options: Options
) -> dict[PortMapping, Alias]:
    """Return the mappings of the aliases that serve a row of the plan under another number, one that is held."""
    by_place = {(m.owner, m.protocol, m.family): m for m in plan.mappings if m.via == "dnat"}
    numbers = {m.node_port for m in plan.mappings}
    held, there = usable(observed.holds, options), {m.key for m in live}
    found: dict[PortMapping, Alias] = {}
    for alias in possible:
        number, family, protocol = alias.key
        row = by_place.get((alias.owner, protocol, family))
        if row and number not in numbers and number in options.port_range and (number in held or alias.key in there):
            found[row._replace(node_port=number)] = alias
    return found


def next_state(
    served: Mapping[PortMapping, Alias], live: Iterable[PortMapping], observed: Observed
) -> tuple[Alias, ...]:
    """Return the aliases to store. One that ends is stored until its rule is gone: its number is not the Pod port's."""
    before = observed.state.aliases
    there = {m.key for m in live} if before else ()
    ending = {alias.key: alias._replace(ended=True) for alias in before if alias.key in there}
    stored = ending | {alias.key: alias for alias in served.values()}
    return tuple(stored[key] for key in sorted(stored))


def without(mappings: Iterable[PortMapping], aliases: Collection[Alias]) -> tuple[PortMapping, ...]:
    """Return the mappings without those of aliases: the others have their Pod port's number."""
    keys = {alias.key for alias in aliases}
    return tuple(m for m in mappings if m.key not in keys) if keys else tuple(mappings)


def owners(aliases: Iterable[Alias]) -> dict[RuleKey, PodPort]:
    """Return the owner of each alias."""
    return {alias.key: alias.owner for alias in aliases}
