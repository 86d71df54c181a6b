"""Cluster state to plan: the same state in any order gives the same plan."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from nplconf.desired.addresses import node_ips, own_addresses
from nplconf.desired.pods import Numbers, Refusal, Site, Wish, host_ports, running, shared_addresses, unserved, wishes
from nplconf.desired.ports import Past, allocate
from nplconf.desired.services import Selection, select, selecting
from nplconf.model import ClusterState, Family, Node, Plan, Pod, PodPort, PortRange, Skipped
from nplconf.model import Mapping as PlannedMapping

if TYPE_CHECKING:
    from nplconf.plan.policy import Policy


@dataclass(frozen=True, slots=True)
class Desired:
    """What the administrator decides. node_ips: addresses to advertise instead of the Node object's."""

    port_range: PortRange
    node_ips: Mapping[Family, str] = field(default_factory=dict, hash=False)
    policy: "Policy | None" = None


def find_node(cluster: ClusterState, name: str) -> Node | None:
    """The Node object of that name; None when the snapshot does not have it."""
    return next((node for node in cluster.nodes if node.name == name), None)


def render(cluster: ClusterState, node: Node, settings: Desired, past: Past) -> Plan:
    """What a node of the cluster is to have, and what it cannot have with the reasons."""
    return _render(select(cluster.services), cluster.identity, node, cluster.pods, settings, past)


@dataclass(frozen=True, slots=True)
class Renderer:
    """A node whose plan can be rendered, as soon as somebody knows its past."""

    node: Node
    render: Callable[[Past], Plan]


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
    selection: Selection, identity: str | None, node: Node, pods: Iterable[Pod], settings: Desired, past: Past
) -> Plan:
    advertised = node_ips(node, settings.node_ips)
    here = running(pods, node.name)
    site = Site(advertised, own_addresses(node, advertised), shared_addresses(here))
    wanted: list[Wish] = []
    skipped: list[Skipped] = list(selection.skipped)
    for pod in here:
        if services := selecting(selection, pod):
            more, without = wishes(pod, services, site)
            wanted += more
            skipped += without
    if settings.policy:
        from nplconf.desired.policy import permitted

        wanted, without = permitted(wanted, settings.policy)
        skipped += without
    numbers = _numbers(wanted, settings, {**selection.reserved, **host_ports(here)}, past)
    skipped += _unnumbered(wanted, numbers)
    return Plan(
        node=node.name,
        cluster=identity,
        node_ips=advertised,
        port_range=settings.port_range,
        mappings=_mappings(wanted, numbers.given),
        skipped=tuple(sorted(set(skipped), key=_place)),
    )


def _mappings(wanted: Iterable[Wish], numbers: Mapping[PodPort, int]) -> tuple[PlannedMapping, ...]:
    served = ((wish, wish.host_port or numbers.get(wish.owner)) for wish in wanted)
    mappings = [_mapping(wish, number) for wish, number in served if number]
    return tuple(sorted(mappings, key=lambda m: (m.key, m.pod, m.pod_port)))


def _mapping(wish: Wish, number: int) -> PlannedMapping:
    return PlannedMapping(
        node_port=number,
        protocol=wish.protocol,
        family=wish.family,
        node_ip=wish.node_ip,
        pod=wish.pod.ref,
        pod_ip=wish.pod_ip,
        pod_port=wish.port,
        services=wish.services,
        via="hostPort" if wish.host_port else "dnat",
        source_ranges=wish.sources,
    )


def _numbers(wanted: Iterable[Wish], settings: Desired, others: Mapping[int, str], past: Past) -> Numbers:
    """A number for each (Pod, port) that needs one. others: who has numbers of the node without us."""
    if settings.policy:
        from nplconf.desired.policy import numbered

        return numbered(wanted, settings.policy, settings.port_range, others, past)
    asking = {wish.owner: wish.pod.annotation for wish in wanted if not wish.host_port}
    given = allocate(asking, settings.port_range, frozenset(others), past)
    refusal = Refusal("range-full", f"no number of {settings.port_range} is free")
    return Numbers(given, dict.fromkeys(asking.keys() - given.keys(), refusal))


def _unnumbered(wanted: Iterable[Wish], numbers: Numbers) -> Iterator[Skipped]:
    for wish in wanted:
        if not wish.host_port and wish.owner not in numbers.given:
            yield from unserved(wish, numbers.refused[wish.owner])


def _place(row: Skipped) -> tuple[str, str, int, str, str, str, str, str]:
    """Where a row stands among the skipped: a port's number before a name, no Pod before any."""
    number, name = (row.pod_port, "") if isinstance(row.pod_port, int) else (0, row.pod_port)
    return row.pod or "", name, number, row.protocol, row.service, row.reason, row.message, row.rule or ""
