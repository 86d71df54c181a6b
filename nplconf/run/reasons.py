"""Why a mapping comes or goes, in one word: the `reason` of a change."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

from nplconf.desired.reviewed import Resolved
from nplconf.model import Plan, Pod, PodPort, PortMapping
from nplconf.plan.diff import Diff

DOUBLED = "doubled"
"""Why a mapping goes whose Pod port has a rule at another number, too."""
UNAVAILABLE = "number-unavailable"
"""Why a mapping goes that is asked for: the number that it is to have now is somebody else's."""


def going(pods: Iterable[Pod], plan: Plan, eligible: Iterable[PortMapping]) -> Callable[[PortMapping], str]:
    """Why a mapping is removed. pods: this node's; admitted: the plan's rows that may be in force."""

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
    """Why a mapping is skipped: by Pod and port, else by Pod and Service, as a row stands for more ports than one."""
    of_ports = {(row.pod, row.pod_port): row.reason for row in plan.skipped}
    several = [row for row in reversed(plan.skipped) if row.more]
    of_services = {(row.pod, row.service): row.reason for row in several}
    of_pods = {row.pod: row.reason for row in several}

    def reason(mapping: PortMapping) -> str | None:
        pod = mapping.pod.key
        found = [of_ports.get((pod, mapping.pod_port)), *(of_services.get((pod, key)) for key in mapping.services)]
        # Which Services asked is not known of every rule.
        found += [] if mapping.services else [of_pods.get(pod)]
        return next(filter(None, found), None)

    return reason


def of_review(found: Diff, resolved: Resolved) -> Diff:
    """What goes although a Service asks for it: no review knows it, or its reviewed number cannot be had."""
    reasons = {(p.pod.key, p.pod_port, p.protocol): "not-reviewed" for p in resolved.pending}
    reasons |= {(row.pod.key, row.pod_port, row.protocol): UNAVAILABLE for row, _ in resolved.refused}
    changes = (
        replace(c, reason=reasons.get((c.mapping.pod.key, c.mapping.pod_port, c.mapping.protocol), c.reason))
        if c.action == "delete"
        else c
        for c in found.changes
    )
    return replace(found, changes=tuple(changes))
