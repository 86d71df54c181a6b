"""Repairs: mappings whose rule, way to the rule, or annotation was changed by somebody else since the last run.

Only what the last run left in place can be repaired, so nothing is after a reboot, a lost state file or a killed run.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from nplconf.model import Change, Family, Finding, Plan, Pod, PodRef, PortMapping, RuleKey
from nplconf.plan.diff import ordered
from nplconf.publish import annotation
from nplconf.publish.annotation import Entry
from nplconf.run.observed import Observed

if TYPE_CHECKING:
    from nplconf.run.decision import Decision

RULE_MISSING = "rule-missing"
RULE_CHANGED = "rule-changed"
BACKEND_CHANGED = "backend-changed"
JUMP_CHANGED = "jump-changed"
DISPATCH_CHANGED = "dispatch-changed"
ANNOTATION_CHANGED = "annotation-changed"


def marked(decision: "Decision", observed: Observed, pods: Iterable[Pod]) -> "Decision":
    """Return the decision with each repair as a change of its own kind. pods: this node's, as they were read."""
    last = observed.remembered
    something = decision.diff.changes or decision.findings or decision.patches
    if last is None or observed.state.writing or not something:
        return decision
    before = _in_place_before(last, observed.state.unserved)
    elsewhere = {family for families in observed.leftovers.values() for family in families}
    changes = [_of_change(change, before, elsewhere) for change in decision.diff.changes]
    damaged = _unreachable(decision, observed)
    altered = _altered(decision, observed, pods)
    unchanged = []
    for mapping in decision.diff.unchanged:
        reason = damaged.get(mapping.key) or (ANNOTATION_CHANGED if _lost(mapping, altered) else "")
        if reason and mapping.key in before:
            changes.append(Change("repair", reason, mapping, mapping))
        else:
            unchanged.append(mapping)
    return replace(decision, diff=replace(decision.diff, changes=ordered(changes), unchanged=tuple(unchanged)))


def _in_place_before(last: Plan, unserved: Iterable[RuleKey]) -> dict[RuleKey, PortMapping]:
    missing = set(unserved)
    return {m.key: m for m in last.mappings if m.via == "dnat" and m.key not in missing}


def _of_change(change: Change, before: Mapping[RuleKey, PortMapping], elsewhere: Container[Family]) -> Change:
    """Return a repair where the last run left exactly what this run makes.

    elsewhere: families with rules in another backend. A mapping that is missing in this one moves here.
    """
    was, mapping = before.get(change.mapping.key), change.mapping
    if change.action == "delete" or was is None or _target(was) != _target(mapping):
        return change
    if change.action == "add" and change.mapping.family in elsewhere:
        return replace(change, reason=BACKEND_CHANGED)
    return replace(change, action="repair", reason=RULE_MISSING if change.action == "add" else RULE_CHANGED)


def _target(mapping: PortMapping) -> tuple[object, ...]:
    return mapping.pod, mapping.pod_port, mapping.pod_ip, mapping.source_ranges


def _unreachable(decision: "Decision", observed: Observed) -> dict[RuleKey, str]:
    """Why no packet reaches a rule that is there, by rule.

    Where the node has other addresses than before, this is our own change.
    """
    found: dict[RuleKey, str] = {}
    for family, have in observed.found.items():
        if decision.addresses.get(family) != observed.state.addresses.get(family):
            continue
        reason = _reason(finding for finding in decision.findings if finding.subject.startswith(family))
        if reason:
            advertised = decision.plan.node_ips.get(family)
            reached = observed.rules.in_place(have, decision.wanted.get(family), family, advertised)
            rules = (m.key for m in decision.diff.unchanged if m.family == family)
            found |= dict.fromkeys((key for key in rules if key not in reached), reason)
    return found


def _reason(findings: Iterable[Finding]) -> str:
    kinds = {finding.kind for finding in findings}
    if "jumps" in kinds:
        return JUMP_CHANGED
    return DISPATCH_CHANGED if "dispatch" in kinds else ""


def _altered(decision: "Decision", observed: Observed, pods: Iterable[Pod]) -> dict[PodRef, set[Entry]]:
    """Return the entries that an annotation must get back, of each Pod whose annotation is not the one that we left."""
    left = observed.state.annotations
    new = {patch.pod: annotation.parse(patch.annotation) for patch in decision.patches}
    return {
        pod.ref: set(new[pod.ref]) - set(annotation.parse(pod.annotation))
        for pod in pods
        if pod.ref in new and left.get(pod.ref.key, "") not in ("", annotation.digest(pod.annotation))
    }


def _lost(mapping: PortMapping, altered: Mapping[PodRef, set[Entry]]) -> bool:
    return mapping.pod in altered and annotation.entry(mapping) in altered[mapping.pod]
