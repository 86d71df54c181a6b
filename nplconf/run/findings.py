"""Findings: faults on the node that concern no single mapping."""

from collections.abc import Iterator, Mapping
from typing import Any

from nplconf.model import Family, Finding, PortMapping, RuleKey
from nplconf.rules import antrea, foreign
from nplconf.rules.foreign import ForeignRule
from nplconf.run.inputs import Inputs
from nplconf.run.observed import Observed, orphaned
from nplconf.run.target import Target
from nplconf.run.wanted_rules import known_rules


def findings(
    target: Target,
    inputs: Inputs,
    eligible: tuple[PortMapping, ...],
    wanted: Mapping[Family, Any],
    taken: Mapping[RuleKey, ForeignRule],
) -> tuple[Finding, ...]:
    """Return the findings.

    Args:
        target: What the node must have.
        inputs: What every step reads.
        eligible: The mappings that are to be in force.
        wanted: Their rules, by family.
        taken: Those of them whose packets a foreign rule takes first.

    """
    observed, plan = inputs.observed, target.plan
    rules = observed.rules
    wrong = {family: have for family, have in observed.found.items() if rules.differs(have, wanted[family])}
    # a family with other mappings differs, too: only what is wrong with the rules of the live ones is a finding
    of_live = known_rules(inputs.live, target.addresses, plan.port_range, observed, inputs.cache) if wrong else {}
    found = [f for family, have in wrong.items() for f in rules.findings(have, of_live[family], family)]
    found += _leftovers(observed)
    found += foreign.findings(taken, eligible)
    found += foreign.findings(foreign.hits(observed.foreign, eligible, target.addresses, local=True), eligible)
    found += antrea.findings(observed.antrea.chains, plan.port_range)
    if observed.unreadable:
        concerned = {m.family for m in (*plan.mappings, *orphaned(observed, plan)) if m.via == "dnat"}
        found += [Finding("unreadable", f, text) for f, text in observed.unreadable.items() if f in concerned]
    return tuple(found)


def _leftovers(observed: Observed) -> Iterator[Finding]:
    for other, families in observed.leftovers.items():
        message = f"rules of nplconf in {other}, beside {observed.backend} which is used; apply removes them"
        yield from (Finding("backend", family, message) for family in families)
