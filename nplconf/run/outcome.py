"""The result of a run, judged from the decision and from what was read afterwards. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nplconf.model import FAMILIES, Change, Failure, Family, Patch, Pod, PodRef, PortMapping, RuleKey
from nplconf.plan.state import State
from nplconf.publish import annotation
from nplconf.publish.annotation import DEFAULT, Form
from nplconf.rules import RuleBackend, owner
from nplconf.run import repairs
from nplconf.run.decision import Decision
from nplconf.run.observed import Observed


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one run.

    Attributes:
        decision: What the run was to do.
        done: The changes that the kernel shows.
        in_place: The mappings that were seen in the kernel, and those with a hostPort.
        patches: The annotations that were to be written.
        failures: What failed.
        degraded: Why the run is no full success although no step failed.
        warnings: What an operator must know.
        annotations: The annotation of each Pod as it is now; None where the run writes none.
        next_state: The state that the run has left; None where nothing was carried out.

    """

    decision: Decision
    done: tuple[Change, ...] = ()
    in_place: tuple[PortMapping, ...] = ()
    patches: tuple[Patch, ...] = ()
    failures: tuple[Failure, ...] = ()
    degraded: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    annotations: Mapping[PodRef, str | None] | None = field(default=None, hash=False)
    next_state: State | None = None

    @property
    def exit_code(self) -> int:
        """The exit code. A limit counts more than a failure, and a failure more than a stale row."""
        if self.decision.blocked:
            return 4
        if self.decision.inexact:
            return 3
        if self.failures or self.degraded:
            nothing_done = not (self.in_place or self.done or self._withdrawn) and bool(self.decision.plan.mappings)
            # a subject that was refused for its own reason had a response, so the other side works
            return 69 if nothing_done and not any(failure.refused for failure in self.failures) else 5
        return 3 if self.decision.stale else 0

    @property
    def _withdrawn(self) -> bool:
        """Whether an annotation was written although nothing is in place: then it was withdrawn."""
        failed = {failure.subject for failure in self.failures}
        return any(patch.pod.key not in failed for patch in self.patches)


def in_place(decision: Decision, reached: Collection[RuleKey]) -> tuple[PortMapping, ...]:
    """Return the eligible mappings that are published: seen in the kernel, or made by the CNI (hostPort).

    In a family that cannot be read, only the mappings that annotations list already are published.

    Args:
        decision: What the run was to do.
        reached: The places whose rules a packet reaches, as they were read last.

    """
    taken = decision.taken
    return tuple(
        m
        for m in decision.eligible
        if m.via == "hostPort"
        # a plain tuple equals its key, and is made in a third of the time
        or ((m.node_port, m.family, m.protocol) in reached and not (taken and m.key in taken))
        or m in decision.unseen
    )


def annotations_after(
    pods: Iterable[Pod], patches: Iterable[Patch], failures: Iterable[Failure]
) -> dict[PodRef, str | None]:
    """Return the annotation of each Pod as it is now. patches: what was to be written."""
    failed = {failure.subject for failure in failures}
    now = {patch.pod: patch.annotation for patch in patches if patch.pod.key not in failed}
    return {pod.ref: now.get(pod.ref, pod.annotation) for pod in pods}


def unpublished(
    there: Iterable[PortMapping], refused: Iterable[Failure], pods: Iterable[Pod], form: Form = DEFAULT
) -> frozenset[PortMapping]:
    """Return the mappings whose entry was denied. No load balancer can learn of them.

    Args:
        there: The mappings that are in place.
        refused: The patches that failed.
        pods: This node's Pods, with the annotations before the patches.
        form: How annotations are written.

    """
    denied = {failure.subject for failure in refused if failure.refused}
    if not denied:
        return frozenset()
    rows = frozenset(m for m in there if m.via == "dnat" and m.pod.key in denied and m.family in form.families)
    return rows - annotation.on_pods(rows, (pod for pod in pods if pod.ref.key in denied))


def named(
    decision: Decision, result: Iterable[Change], writes: Iterable[Family], failures: Sequence[Failure]
) -> list[Failure]:
    """Return the failures, those of a whole family by the names of the mappings that they concern.

    Args:
        decision: What the run was to do.
        result: The changes that were done.
        writes: The families that were written.
        failures: What failed, without the removals.

    """
    errors = {f.subject: f.message for f in failures if f.subject in FAMILIES}
    done = {id(change) for change in result}
    written = set(writes)
    stuck = (c.mapping for c in decision.removals if id(c) not in done and c.mapping.family in written)
    found = [Failure("rule", m.subject, errors.get(m.family, "the rule is still there")) for m in stuck]
    messages = {failure.message for failure in (*failures, *found) if failure.subject not in FAMILIES}
    return [f for f in failures if f.subject not in FAMILIES or f.message not in messages] + found


def absent(
    decision: Decision, there: Sequence[PortMapping], failures: Iterable[Failure], observed: Observed
) -> list[Failure]:
    """Return a failure by name for each mapping that was to be in place and was not seen there."""
    if tuple(there) == decision.eligible and not observed.unreadable:  # as in most runs
        return []
    named = {failure.subject for failure in failures}
    errors = {f.subject: f.message for f in failures if f.subject in FAMILIES}
    present = set(there)
    found = []
    for mapping in decision.eligible:
        unknown = observed.unreadable.get(mapping.family)
        missing = mapping.via != "hostPort" and (unknown or mapping not in present)
        if missing and mapping.subject not in named:
            taker = decision.taken.get(mapping.key)
            first = f"a foreign rule takes the packets first ({taker})" if taker else ""
            why = unknown or first or errors.get(mapping.family, "the rule was not seen in place")
            found.append(Failure("rule", mapping.subject, why, refused=why == first))
    return found


def done(
    decision: Decision,
    seen: Mapping[Family, Any],
    writes: Iterable[Family],
    backend: RuleBackend[Any],
    in_place: Iterable[PortMapping] = (),
    failures: Iterable[Failure] = (),
) -> tuple[Change, ...]:
    """Return the changes that were made, as the kernel and the response to the patch of the annotation show.

    Args:
        decision: What the run was to do.
        seen: The rules as they were read last.
        writes: The families that were written.
        backend: The pure half of the backend.
        in_place: The mappings that were seen in place.
        failures: What failed.

    """
    written = set(writes)
    ports = {c.mapping.node_port for c in decision.diff.changes}
    live = (rule for family in written for rule in backend.live(seen[family], family, ports))
    rules = {(rule.key, rule.tag, rule.pod_ip, rule.pod_port) for rule in live}
    failed = {failure.subject for failure in failures}
    present = set(in_place) if any(change.action == "repair" for change in decision.diff.changes) else set()

    def shows(change: Change) -> bool:
        if change.reason == repairs.ANNOTATION_CHANGED:
            return change.mapping.pod.key not in failed
        if change.action == "repair" and change.mapping not in present:
            return False
        m = change.mapping
        # a rule without an owner is gone as soon as the rule in its place has another tag
        there = (m.key, owner.tag(m.pod, m.pod_port), m.pod_ip, m.pod_port) in rules
        return m.family in written and there != (change.action == "delete")

    return tuple(filter(shows, decision.diff.changes))
