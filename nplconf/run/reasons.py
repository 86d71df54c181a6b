"""Why a mapping is added, changed or deleted: the `reason` of a change."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

from nplconf.desired.reviewed import Resolved
from nplconf.model import Plan, Pod, PodPort, PortMapping
from nplconf.plan.diff import Diff

DOUBLED = "doubled"
"""The reason of a removed mapping whose Pod port has a rule at another node port, too."""
UNAVAILABLE = "number-unavailable"
"""The reason of a removed mapping that is asked for: its node port is not available."""


def going(pods: Iterable[Pod], plan: Plan, eligible: Iterable[PortMapping]) -> Callable[[PortMapping], str]:
    """Return a function that says why a mapping is removed.

    Args:
        pods: This node's Pods.
        plan: The plan, with the ports that are skipped.
        eligible: The mappings that are to be in force.

    """

    @cache
    def by_name() -> dict[str, Pod]:
        return {pod.ref.key: pod for pod in pods}

    @cache
    def asked() -> dict[tuple[PodPort, str, str], str]:
        return {(m.owner, m.protocol, m.family): m.via for m in plan.mappings}

    @cache
    def served() -> set[tuple[PodPort, str, str]]:
        return {(m.owner, m.protocol, m.family) for m in eligible if m.via == "dnat"}

    skipped = _skipped(plan)

    def why(mapping: PortMapping) -> str:
        """Return the reason for one mapping."""
        pod = by_name().get(mapping.pod.key)
        if not mapping.pod.name:
            return "owner-unknown"
        if pod is None:
            return "pod-gone"
        if pod.terminated:
            return "pod-terminated"
        place = (mapping.owner, mapping.protocol, mapping.family)
        if place in served():
            return DOUBLED
        if via := asked().get(place):
            return UNAVAILABLE if via == "dnat" else "host-port"
        return skipped(mapping) or "not-selected"

    return why


def _skipped(plan: Plan) -> Callable[[PortMapping], str | None]:
    """Return a function that says why a mapping is skipped, None where it is not.

    A row of `skipped` can stand for more ports, so after Pod and port it looks for Pod and Service.
    """
    of_ports = {(row.pod, row.pod_port): row.reason for row in plan.skipped}
    several = [row for row in reversed(plan.skipped) if row.more]
    of_services = {(row.pod, row.service): row.reason for row in several}
    of_pods = {row.pod: row.reason for row in several}

    def reason(mapping: PortMapping) -> str | None:
        pod = mapping.pod.key
        found = [of_ports.get((pod, mapping.pod_port)), *(of_services.get((pod, key)) for key in mapping.services)]
        # the Services are not known for every rule
        found += [] if mapping.services else [of_pods.get(pod)]
        return next(filter(None, found), None)

    return reason


def of_review(found: Diff, resolved: Resolved) -> Diff:
    """Give deletions the reasons of a review: the port was not reviewed, or the reviewed port is not available."""
    reasons = {(p.pod.key, p.pod_port, p.protocol): "not-reviewed" for p in resolved.pending}
    reasons |= {(row.pod.key, row.pod_port, row.protocol): UNAVAILABLE for row, _ in resolved.refused}
    changes = (
        replace(c, reason=reasons.get((c.mapping.pod.key, c.mapping.pod_port, c.mapping.protocol), c.reason))
        if c.action == "delete"
        else c
        for c in found.changes
    )
    return replace(found, changes=tuple(changes))
