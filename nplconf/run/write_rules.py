"""Writing rules: what must be written, and the transactions that write it or take it back."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nplconf.model import Change, Failure, Family, Plan, PortMapping, RuleKey
from nplconf.node import NodeAccess
from nplconf.rules import Goal
from nplconf.run.decision import Decision
from nplconf.run.observed import Observed
from nplconf.run.wanted_rules import Addresses, rules_for, rules_of_family, together


class RuleSet(NamedTuple):
    """The rules that one step brings into force.

    Attributes:
        mappings: The mappings that they serve.
        wanted: The rules, by family.
        changes: What changes. The kernel may refuse what is new, and flows of what changed are flushed.
        addresses: The node's addresses that rules match, by family.
        plan: The plan, with the port range and the addresses that are advertised.
        flush_all: Flush the flows of all ports, because a run was killed before it had flushed them.

    """

    mappings: tuple[PortMapping, ...]
    wanted: Mapping[Family, Any]
    changes: tuple[Change, ...]
    addresses: Addresses
    plan: Plan
    flush_all: bool = False


class Written(NamedTuple):
    """The result of a step.

    Attributes:
        seen: The rules of each family as they were read last.
        reached: The places whose rules a packet reaches.
        failures: What could not be written.

    """

    seen: Mapping[Family, Any]
    reached: frozenset[RuleKey] = frozenset()
    failures: tuple[Failure, ...] = ()


def rule_set(decision: Decision, observed: Observed) -> RuleSet:
    """Return the rules of a decision, with those at old ports."""
    rows = together(decision.eligible, decision.old_ports)
    changes, addresses, plan = decision.diff.changes, decision.addresses, decision.plan
    return RuleSet(rows, decision.interim, changes, addresses, plan, flush_all=observed.state.writing)


def differing(goal: RuleSet, observed: Observed, found: Mapping[Family, Any]) -> tuple[Family, ...]:
    """Return the families whose rules differ from the wanted ones. found: the rules as they were read last."""
    rules, wanted = observed.rules, goal.wanted
    return tuple(family for family, have in found.items() if family in wanted and rules.differs(have, wanted[family]))


def write(
    goal: RuleSet,
    observed: Observed,
    node: NodeAccess,
    found: Mapping[Family, Any],
    families: Collection[Family],
) -> Written:
    """Bring the rules of these families in line with the wanted ones, and flush the flows of what changed.

    Each family or backend is written in one transaction.

    Args:
        goal: The rules.
        observed: The node as it was read.
        node: The node to write to.
        found: The rules as they were read last.
        families: The families to write.

    """
    seen, failures = _synced(goal, observed, node, found, families) if families else (found, ())
    if families or goal.flush_all:
        failures += node.flush_flows(goal.changes, goal.mappings, goal.addresses, everything=goal.flush_all)
    advertised, rules = goal.plan.node_ips, observed.rules
    places = (
        rules.in_place(have, goal.wanted.get(family), family, advertised.get(family)) for family, have in seen.items()
    )
    return Written(seen, frozenset().union(*places), failures)


def _synced(
    goal: RuleSet,
    observed: Observed,
    node: NodeAccess,
    found: Mapping[Family, Any],
    families: Collection[Family],
) -> tuple[Mapping[Family, Any], tuple[Failure, ...]]:
    """Write the rules. Return them as they were read last, and the failures."""
    rows = [m for m in goal.mappings if m.via == "dnat" and m.family in families]

    def build(family: Family, mappings: Sequence[PortMapping]) -> Any:
        if len(mappings) == len(rows):  # all of them, in whatever order: these rules are built already
            return goal.wanted[family]
        own = [mapping for mapping in mappings if mapping.family == family]
        if len(own) == sum(row.family == family for row in rows):
            return goal.wanted[family]
        return rules_of_family(own, family, goal.addresses, goal.plan.port_range, observed)

    changed = {c.mapping.key for c in goal.changes if c.action != "delete" and c.was != c.mapping}
    ports = {key.node_port for key in changed}  # most mappings have none of these, which is checked faster
    add = [m for m in rows if m.node_port in ports and m.key in changed]
    stay = [m for m in rows if m.node_port not in ports or m.key not in changed]
    synced = node.sync(Goal({family: found[family] for family in families}, build, stay, add))
    refused = (Failure("rule", row.subject, message, refused=True) for row, message in synced.refused)
    errors = (Failure("rule", family, message) for family, message in synced.errors)
    return {**found, **synced.found}, (*refused, *errors)


def take_back(
    gone: frozenset[PortMapping],
    rest: Iterable[PortMapping],
    decision: Decision,
    observed: Observed,
    node: NodeAccess,
    found: Mapping[Family, Any],
) -> Written:
    """Remove rules that this run has made or left. The next run tries again, as their Services still ask for them.

    Args:
        gone: The mappings whose rules go.
        rest: Mappings at old ports whose rules stay.
        decision: What the run does.
        observed: The node as it was read.
        node: The node to write to.
        found: The rules as they were read last.

    """
    rows = tuple(m for m in together(decision.eligible, rest) if m not in gone)
    changes = tuple(Change("delete", "refused", mapping, mapping) for mapping in gone)
    addresses, plan = decision.addresses, decision.plan
    wanted = rules_for(rows, addresses, plan.port_range, observed)
    goal = RuleSet(rows, wanted, changes, addresses, plan)
    families = differing(goal, observed, found)
    return write(goal, observed, node, found, families)
