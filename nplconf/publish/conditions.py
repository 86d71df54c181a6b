"""The readiness gate `nplconf.io/published`: the condition that a Pod with the gate gets. Pure.

It depends on the rule and the annotation alone, never on the Pod's readiness, so there is no deadlock. Once it is True
it stays so: a fault of nplconf must not make Pods unready.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from nplconf.model import Condition, Pending, Pod, PodRef, PortMapping, Skipped

_TRANSIENT = {
    "range-full": "RangeFull",
    "namespace-share": "NamespaceShare",
    "pin-taken": "PinTaken",
    "pod-ip-shared": "PodIPShared",
}
"""Reasons of `skipped` that can pass without a change of the Pod or its Services."""


class Asked(NamedTuple):
    """What is asked of one Pod, and what came of it.

    Attributes:
        rows: Its mappings in the plan.
        skipped: What it cannot have.
        pending: Ports that wait for a review.

    """

    rows: tuple[PortMapping, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    pending: tuple[Pending, ...] = ()


def due(
    pods: Iterable[Pod], asked: Mapping[PodRef, Asked], there: Collection[PortMapping], waiting: Collection[PortMapping]
) -> dict[PodRef, Condition]:
    """Return the conditions to write, by Pod.

    Args:
        pods: This node's Pods; only those with the gate get a condition.
        asked: What is asked of each.
        there: The mappings that were seen in place.
        waiting: The mappings whose Pods wait for their containers.

    """
    found: dict[PodRef, Condition] = {}
    for pod in pods:
        if is_due(pod):
            new = condition(pod, asked.get(pod.ref, Asked()), there, waiting)
            if new != pod.condition:
                found[pod.ref] = new
    return found


def is_due(pod: Pod) -> bool:
    """Whether a Pod's condition may have to be written."""
    settled = pod.condition is not None and pod.condition.status == "True"
    return pod.gated and not settled and not pod.terminating and not pod.terminated


def condition(pod: Pod, asked: Asked, there: Collection[PortMapping], waiting: Collection[PortMapping]) -> Condition:
    """Return the condition of one Pod."""
    missing = [row for row in asked.rows if row not in there]
    if missing:
        return Condition("False", "Degraded", f"no packet reaches {missing[0].subject} yet, see: nplconf verify")
    if any(row in waiting for row in asked.rows):
        return Condition("False", "NotYetPublished", "the containers of the Pod are not ready yet")
    for row in asked.skipped:
        if row.reason == "pod-ip-missing" and not pod.ips:
            return Condition("False", "NotYetPublished", "the Pod has no address yet")
        if reason := _TRANSIENT.get(row.reason):
            return Condition("False", reason, _why(row))
    if asked.pending:
        port = asked.pending[0]
        return Condition("False", "NotReviewed", f"port {port.pod_port}/{port.protocol} is not in the reviewed plan")
    return _done(asked)


def _done(asked: Asked) -> Condition:
    left = f"; {_why(asked.skipped[0])}" if asked.skipped else ""
    if asked.rows:
        return Condition("True", "Published", f"every mapping is in place and in the annotation{left}")
    if asked.skipped:
        return Condition("True", "Skipped", _why(asked.skipped[0]))
    return Condition("True", "NothingToPublish", "no Service asks for a mapping of the Pod")


def _why(row: Skipped) -> str:
    return f"port {row.ports} of Service {row.service} is not mapped: {row.reason}: {row.message}"
