"""A reviewed plan and the cluster as it is now: rows and node ports are binding, addresses are resolved again.

A row is bound by namespace/name, podPort, protocol, family and node port. So a Pod that is created again under its name
gets what was reviewed for it, for the same clients. A row holds while a Service still asks for it.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from nplconf.desired import claims
from nplconf.desired.pods import running
from nplconf.desired.ports import Previous
from nplconf.desired.render import Desired, render, unserved_reasons
from nplconf.model import ClusterState, Node, Pending, Plan, PodPort, PortMapping, Stale

_Row = tuple[PodPort, str, str]
"""(Pod and port, protocol, family): what a row is about, whatever its number."""
_Why = Literal["pod-gone", "other-node", "not-selected", "uid-changed", "ip-changed"]
_OF_ADDRESS = ("pod-ip-missing", "pod-ip-invalid", "pod-ip-shared", "node-ip-missing")
"""Reasons of `skipped` that are about an address."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A reviewed plan with today's addresses.

    Attributes:
        plan: The rows that hold.
        stale: Rows that do not hold any more.
        pending: Ports that the plan does not have.
        refused: Rows whose node port is not available, and why.

    """

    plan: Plan
    stale: tuple[Stale, ...]
    pending: tuple[Pending, ...]
    refused: tuple[tuple[PortMapping, str], ...]


def resolve(
    reviewed: Plan,
    cluster: ClusterState,
    node: Node,
    settings: Desired,
    *,
    exact: bool = False,
    mapped: Container[PodPort] = (),
) -> Resolved:
    """Return each reviewed row as it can be applied now, or why it cannot.

    Args:
        reviewed: The reviewed plan.
        cluster: The snapshot.
        node: The Node object.
        settings: What the administrator decides.
        exact: A row with another UID or address than the reviewed one is stale, and so is a row that is skipped now.
        mapped: Who has a mapping already. Other ports of Pods that are being deleted get none.

    """
    deleted = {pod.ref.key for pod in running(cluster.pods, node.name) if pod.terminating}
    late = {m.owner for m in reviewed.mappings if m.pod.key in deleted and m.owner not in mapped}
    bound = {m.owner: m.node_port for m in reviewed.mappings if m.via == "dnat" and m.owner not in late}
    # reviewers decide what a namespace gets, so no share counts here
    asked = render(cluster, node, replace(settings, namespace_share=100), Previous(numbers=(bound,)))
    found = {_row(m): m for m in asked.mappings}
    others = claims.on_node(cluster.services, running(cluster.pods, node.name), node, settings.node_ips)
    why_not = unserved_reasons(cluster, node, settings)
    here = {pod.ref.key for pod in running(cluster.pods, node.name)}
    mappings: list[PortMapping] = []
    stale: list[Stale] = []
    refused: list[tuple[PortMapping, str]] = []
    for row in reviewed.mappings:
        now = found.get(_row(row))
        if now is None:
            reason = why_not(row)
            if reason == "range-full" and row.owner in late:
                continue  # skipped as terminating
            if reason == "range-full":
                refused.append((row, _whose(row, others)))
            elif exact or reason is None:
                stale.append(Stale(_why(row, reason, cluster, here=row.pod.key in here), row))
        elif exact and (difference := _difference(row, now)):
            stale.append(Stale(difference, row))
        elif (now.via, now.node_port) == (row.via, row.node_port):
            mappings.append(now._replace(source_ranges=row.source_ranges))
        else:
            refused.append((row, _not_had(row, now, others)))
    known = {_row(m) for m in reviewed.mappings}
    return Resolved(
        plan=replace(asked, mappings=tuple(mappings), port_range=reviewed.port_range),
        stale=tuple(stale),
        pending=_pending((m for m in asked.mappings if _row(m) not in known), reviewed),
        refused=tuple(refused),
    )


def _row(mapping: PortMapping) -> _Row:
    return mapping.owner, mapping.protocol, mapping.family


def _why(row: PortMapping, skipped: str | None, cluster: ClusterState, *, here: bool) -> _Why:
    """Return why a row is stale. A Pod that has no node yet counts as gone.

    Args:
        row: The row.
        skipped: Why it is skipped, if it is.
        cluster: The snapshot.
        here: Whether the Pod runs on this node.

    """
    if here:
        return "ip-changed" if skipped in _OF_ADDRESS else "not-selected"
    return "other-node" if cluster.elsewhere.get(row.pod.key) else "pod-gone"


def _difference(row: PortMapping, now: PortMapping) -> _Why | None:
    if row.pod.uid != now.pod.uid:
        return "uid-changed"
    same = (row.pod_ip, row.node_ip) == (now.pod_ip, now.node_ip)
    return None if same else "ip-changed"


def _not_had(row: PortMapping, now: PortMapping, others: Mapping[int, str]) -> str:
    """Return why a row that holds cannot have its reviewed port. others: who uses which port of the node."""
    if row.via == "hostPort":
        return f"the Pod has no hostPort {row.node_port} for this port any more"
    if now.via == "hostPort":
        return f"the Pod has the hostPort {now.node_port} for this port now, and needs no number"
    return _whose(row, others)


def _whose(row: PortMapping, others: Mapping[int, str]) -> str:
    return f"port {row.node_port} is {others.get(row.node_port, 'not available')}"


def _pending(unknown: Iterable[PortMapping], reviewed: Plan) -> tuple[Pending, ...]:
    """Return the ports that wait for a review. What a policy denied in the reviewed plan was reviewed."""
    decided = {(s.pod, s.pod_port, s.protocol) for s in reviewed.skipped if s.rule}
    rows = {Pending(m.pod, m.pod_port, m.protocol) for m in unknown}
    waiting = (p for p in rows if (p.pod.key, p.pod_port, p.protocol) not in decided)
    return tuple(sorted(waiting, key=lambda p: (p.pod, p.pod_port, p.protocol)))
