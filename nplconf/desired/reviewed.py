"""A reviewed plan against the cluster as it is now: its rows and numbers are binding, addresses are resolved again.

A row is bound by namespace/name, podPort, protocol, family and number, so a Pod that comes back under its name is
served with what was reviewed for it. It holds while a Service still asks for it.
"""

from collections.abc import Container
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, replace
from typing import Literal

from nplconf.desired.pods import running
from nplconf.desired.render import Desired, render
from nplconf.model import ClusterState, Failure, Node, Past, Pending, Plan, PodPort, Stale
from nplconf.model import Mapping as PlannedMapping

_Row = tuple[PodPort, str, str]
"""(Pod and port, protocol, family): what a row is about, whatever its number."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A reviewed plan with today's addresses. plan: the rows that hold. failures: rows whose number is gone."""

    plan: Plan
    stale: tuple[Stale, ...]
    pending: tuple[Pending, ...]
    failures: tuple[Failure, ...]


def resolve(reviewed: Plan, cluster: ClusterState, node: Node, settings: Desired, *, exact: bool = False) -> Resolved:
    """Each reviewed row as it can be applied now, or why it cannot.

    exact: another UID or address than the reviewed one makes a row stale, too.
    """
    bound = {m.owner: m.node_port for m in reviewed.mappings if m.via == "dnat"}
    asked = render(cluster, node, settings, Past(numbers=(bound,)))
    found = {_row(m): m for m in asked.mappings}
    skipped = {(s.pod, s.pod_port) for s in asked.skipped}
    pods = {pod.ref.key for pod in running(cluster.pods, node.name)}
    mappings, stale, failures = [], [], []
    for row in reviewed.mappings:
        now = found.pop(_row(row), None)
        if now is None:
            if (row.pod.key, row.pod_port) not in skipped:
                stale.append(Stale(_why(row, pods, cluster.elsewhere), row))
        elif exact and (difference := _difference(row, now)):
            stale.append(Stale(difference, row))
        elif now.via == "dnat" and now.node_port != row.node_port:
            failures.append(Failure("number", _subject(row), f"number {row.node_port} belongs to somebody else now"))
        else:
            mappings.append(now)
    pending = {Pending(m.pod, m.pod_port, m.protocol) for m in found.values()}
    return Resolved(
        plan=replace(asked, mappings=tuple(mappings), port_range=reviewed.port_range),
        stale=tuple(stale),
        pending=tuple(sorted(pending, key=lambda p: (p.pod, p.pod_port, p.protocol))),
        failures=tuple(failures),
    )


def _row(mapping: PlannedMapping) -> _Row:
    return mapping.owner, mapping.protocol, mapping.family


def _why(
    row: PlannedMapping, pods: Container[str], elsewhere: MappingOf[str, str]
) -> Literal["pod-gone", "other-node", "not-selected"]:
    """pods: those that run here. A Pod that has no node yet is gone as far as anybody can tell."""
    if row.pod.key in pods:
        return "not-selected"
    return "other-node" if elsewhere.get(row.pod.key) else "pod-gone"


def _difference(row: PlannedMapping, now: PlannedMapping) -> Literal["uid-changed", "ip-changed"] | None:
    if row.pod.uid != now.pod.uid:
        return "uid-changed"
    same = (row.pod_ip, row.node_ip) == (now.pod_ip, now.node_ip)
    return None if same else "ip-changed"


def _subject(row: PlannedMapping) -> str:
    return f"{row.protocol}/{row.node_port} {row.pod.key}:{row.pod_port}"
