"""Cluster state to plan: the same state in any order gives the same plan."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from nplconf.desired import claims
from nplconf.desired.addresses import node_ips, own_addresses
from nplconf.desired.pods import (
    Numbers,
    PortRequest,
    Refusal,
    Site,
    requests,
    running,
    shared_addresses,
    unserved,
)
from nplconf.desired.ports import Previous, allocate
from nplconf.desired.services import Selection, select, selecting
from nplconf.desired.shares import Share
from nplconf.model import ClusterState, Family, Node, Plan, Pod, PodPort, PortMapping, PortRange, Skipped

if TYPE_CHECKING:
    from nplconf.plan.policy import Policy


@dataclass(frozen=True, slots=True)
class Desired:
    """What the administrator decides.

    node_ips: addresses to advertise instead of the Node object's. namespace_share: how many percent of the range one
    namespace may have.
    """

    port_range: PortRange
    node_ips: Mapping[Family, str] = field(default_factory=dict, hash=False)
    policy: "Policy | None" = None
    namespace_share: int = 50


def find_node(cluster: ClusterState, name: str) -> Node | None:
    """The Node object of that name; None when the snapshot does not have it."""
    return next((node for node in cluster.nodes if node.name == name), None)


def render(cluster: ClusterState, node: Node, settings: Desired, past: Previous) -> Plan:
    """What a node of the cluster is to have, and what it cannot have with the reasons."""
    return _render(select(cluster.services), cluster.identity, node, cluster.pods, settings, past)


@dataclass(frozen=True, slots=True)
class Renderer:
    """A node whose plan can be rendered, as soon as somebody knows its past."""

    node: Node
    render: Callable[[Previous], Plan]


def each_node(cluster: ClusterState, settings: Desired) -> Iterator[Renderer]:
    """Every node, sorted by name, with what makes its plan as `render` does; each Service and Pod is read once."""
    selection = select(cluster.services)
    pods: dict[str, list[Pod]] = {}
    for pod in cluster.pods:
        pods.setdefault(pod.node, []).append(pod)
    for node in sorted(cluster.nodes, key=lambda n: n.name):
        here = tuple(pods.get(node.name, ()))
        yield Renderer(node, partial(_render, selection, cluster.identity, node, here, settings))


def _render(
    selection: Selection, identity: str | None, node: Node, pods: Iterable[Pod], settings: Desired, past: Previous
) -> Plan:
    advertised = node_ips(node, settings.node_ips)
    here = running(pods, node.name)
    site = Site(advertised, own_addresses(node, advertised), shared_addresses(here))
    wanted: list[PortRequest] = []
    skipped: list[Skipped] = list(selection.skipped)
    for pod in here:
        if services := selecting(selection, pod):
            more, without = requests(pod, services, site)
            wanted += more
            skipped += without
    if settings.policy:
        from nplconf.desired.policy import permitted

        wanted, without = permitted(wanted, settings.policy)
        skipped += without
    numbers = _numbers(wanted, settings, claims.numbers(selection.claims, here, site.own), past)
    skipped += _unnumbered(wanted, numbers)
    return Plan(
        node=node.name,
        cluster=identity,
        node_ips=advertised,
        port_range=settings.port_range,
        mappings=_mappings(wanted, numbers.given),
        skipped=tuple(sorted(set(skipped), key=_place)),
    )


def _mappings(wanted: Iterable[PortRequest], numbers: Mapping[PodPort, int]) -> tuple[PortMapping, ...]:
    served = ((request, request.host_port or numbers.get(request.owner)) for request in wanted)
    mappings = [_mapping(request, number) for request, number in served if number]
    return tuple(sorted(mappings, key=lambda m: (m.key, m.pod, m.pod_port)))


def _mapping(request: PortRequest, number: int) -> PortMapping:
    return PortMapping(
        node_port=number,
        protocol=request.protocol,
        family=request.family,
        node_ip=request.node_ip,
        pod=request.pod.ref,
        pod_ip=request.pod_ip,
        pod_port=request.port,
        services=request.services,
        via="hostPort" if request.host_port else "dnat",
        source_ranges=request.sources,
    )


def _numbers(wanted: Iterable[PortRequest], settings: Desired, others: Mapping[int, str], past: Previous) -> Numbers:
    """A number for each (Pod, port) that needs one. others: who has numbers of the node without us."""
    share = Share(settings.namespace_share, settings.port_range)
    if settings.policy:
        from nplconf.desired.policy import numbered

        return numbered(wanted, settings.policy, settings.port_range, others, past, share)
    asking = {request.owner: request.pod.annotation for request in wanted if not request.host_port}
    given, over_share = allocate(asking, settings.port_range, frozenset(others), past, share.most)
    refused = dict.fromkeys(asking, Refusal("range-full", f"no number of {settings.port_range} is free"))
    return Numbers(given, refused | {owner: share.refusal(owner) for owner in over_share})


def _unnumbered(wanted: Iterable[PortRequest], numbers: Numbers) -> Iterator[Skipped]:
    for request in wanted:
        if not request.host_port and request.owner not in numbers.given:
            yield from unserved(request, numbers.refused[request.owner])


def _place(row: Skipped) -> tuple[str, str, int, str, str, str, str, str]:
    """Where a row stands among the skipped: a port's number before a name, no Pod before any."""
    number, name = (row.pod_port, "") if isinstance(row.pod_port, int) else (0, row.pod_port)
    return row.pod or "", name, number, row.protocol, row.service, row.reason, row.message, row.rule or ""
