"""The condition of Pods with the readiness gate `nplconf.io/published`. Pure.

It depends only on the rule and the annotation, never on the Pod's readiness, so there is no deadlock. A condition that
is True stays True: a fault of nplconf must not make Pods unready.
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
"""Reasons of skipped ports that can end without a change of the Pod or its Services."""


class PodRequests(NamedTuple):
    """What Services request for one Pod, and the result.

    Attributes:
        rows: Its mappings in the plan.
        skipped: Ports that it cannot have.
        pending: Ports that wait for a review.
    """

    rows: tuple[PortMapping, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    pending: tuple[Pending, ...] = ()


def due(
    pods: Iterable[Pod],
    asked: Mapping[PodRef, PodRequests],
    there: Collection[PortMapping],
    waiting: Collection[PortMapping],
) -> dict[PodRef, Condition]:
    """Return the conditions to write, by Pod.

    Args:
        pods: This node's Pods. Only those with the gate get a condition.
        asked: The requests of each Pod.
        there: The mappings that were verified in the kernel.
        waiting: The mappings of Pods that wait for their containers.
    """
    found: dict[PodRef, Condition] = {}
    for pod in pods:
        if is_due(pod):
            new = condition(pod, asked.get(pod.ref, PodRequests()), there, waiting)
            if new != pod.condition:
                found[pod.ref] = new
    return found


def is_due(pod: Pod) -> bool:
    """Return whether a Pod's condition may have to be written."""
    done = pod.condition is not None and pod.condition.status == "True"
    return pod.gated and not done and not pod.terminating and not pod.terminated


def condition(
    pod: Pod, asked: PodRequests, there: Collection[PortMapping], waiting: Collection[PortMapping]
) -> Condition:
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


def _done(asked: PodRequests) -> Condition:
    left = f"; {_why(asked.skipped[0])}" if asked.skipped else ""
    if asked.rows:
        return Condition("True", "Published", f"every mapping is in place and in the annotation{left}")
    if asked.skipped:
        return Condition("True", "Skipped", _why(asked.skipped[0]))
    return Condition("True", "NothingToPublish", "no Service asks for a mapping of the Pod")


def _why(row: Skipped) -> str:
    return f"port {row.ports} of Service {row.service} is not mapped: {row.reason}: {row.message}"
