"""Repairs: mappings whose rule, chain, jump or annotation was changed by somebody else since the last run.

Only what the last run left in place can be repaired, so nothing is after a reboot, a lost state file or a killed run.
"""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nplconf.model import Change, Family, Finding, Patch, Plan, Pod, PodRef, PortMapping, RuleKey
from nplconf.plan.diff import Diff, ordered
from nplconf.publish import annotation
from nplconf.publish.annotation import Entry
from nplconf.run.inputs import Inputs
from nplconf.run.observed import Observed
from nplconf.run.target import Target

RULE_MISSING = "rule-missing"
RULE_CHANGED = "rule-changed"
BACKEND_CHANGED = "backend-changed"
JUMP_CHANGED = "jump-changed"
DISPATCH_CHANGED = "dispatch-changed"
ANNOTATION_CHANGED = "annotation-changed"


def with_repairs(
    diff: Diff,
    target: Target,
    inputs: Inputs,
    wanted: Mapping[Family, Any],
    findings: Sequence[Finding],
    patches: Sequence[Patch],
) -> Diff:
    """Return the changes with each repair as a change of its own kind.

    Args:
        diff: The changes from the live mappings to the eligible ones.
        target: What the node must have.
        inputs: What every step reads.
        wanted: The rules that the node must have, by family.
        findings: What is wrong beside the mappings.
        patches: The annotations to write. Where none is written, an annotation is no repair.

    """
    observed = inputs.observed
    last = observed.remembered
    if last is None or observed.state.writing or not (diff.changes or findings or patches):
        return diff
    damaged = _unreachable(diff.unchanged, target, observed, wanted, findings)
    altered = _altered(patches, observed, inputs.pods) if inputs.writable else {}
    if not (diff.changes or damaged or altered):
        return diff
    concerned = None if damaged or altered else {change.mapping.node_port for change in diff.changes}
    before = _in_place_before(last, observed.state.unserved, concerned)
    elsewhere = {family for families in observed.leftovers.values() for family in families}
    changes = [_of_change(change, before, elsewhere) for change in diff.changes]
    if not (damaged or altered):
        return Diff(ordered(changes), diff.unchanged)
    unchanged = []
    for mapping in diff.unchanged:
        reason = damaged.get(mapping.key) or (ANNOTATION_CHANGED if _lost(mapping, altered) else "")
        if reason and mapping.key in before:
            changes.append(Change("repair", reason, mapping, mapping))
        else:
            unchanged.append(mapping)
    return Diff(ordered(changes), tuple(unchanged))


def _in_place_before(
    last: Plan, unserved: Iterable[RuleKey], concerned: Container[int] | None
) -> dict[RuleKey, PortMapping]:
    """Return the mappings that the last run left in place. concerned: the node ports to look at; None: all."""
    rows = [m for m in last.mappings if concerned is None or m.node_port in concerned]
    found = {m.key: m for m in rows if m.via == "dnat"}
    for key in unserved:
        found.pop(key, None)
    return found


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


def _unreachable(
    unchanged: Iterable[PortMapping],
    target: Target,
    observed: Observed,
    wanted: Mapping[Family, Any],
    findings: Iterable[Finding],
) -> dict[RuleKey, str]:
    """Return why no packet reaches a rule that exists, by rule.

    Where the node has other addresses than before, the difference is a change of this run and no repair.
    """
    found: dict[RuleKey, str] = {}
    for family, have in observed.found.items():
        if target.addresses.get(family) != observed.state.addresses.get(family):
            continue
        reason = _reason(finding for finding in findings if finding.subject.startswith(family))
        if reason:
            reached = observed.rules.in_place(have, wanted.get(family), family, target.plan.node_ips.get(family))
            keys = (m.key for m in unchanged if m.family == family)
            found |= dict.fromkeys((key for key in keys if key not in reached), reason)
    return found


def _reason(findings: Iterable[Finding]) -> str:
    kinds = {finding.kind for finding in findings}
    if "jumps" in kinds:
        return JUMP_CHANGED
    return DISPATCH_CHANGED if "dispatch" in kinds else ""


def _altered(patches: Collection[Patch], observed: Observed, pods: Iterable[Pod]) -> dict[PodRef, set[Entry]]:
    """Return the entries that an annotation must get back, by Pod; only Pods whose annotation the last run wrote."""
    left = observed.state.annotations
    if not patches:  # as in most runs
        return {}
    new = {patch.pod: annotation.parse(patch.annotation) for patch in patches}
    return {
        pod.ref: set(new[pod.ref]) - set(annotation.parse(pod.annotation))
        for pod in pods
        if pod.ref in new and left.get(pod.ref.key, "") not in ("", annotation.digest(pod.annotation))
    }


def _lost(mapping: PortMapping, altered: Mapping[PodRef, set[Entry]]) -> bool:
    return mapping.pod in altered and annotation.entry(mapping) in altered[mapping.pod]
