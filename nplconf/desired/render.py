"""From the cluster state to the plan of a node. The same state in any order gives the same plan."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

from nplconf.cache import Cache
from nplconf.desired import claims
from nplconf.desired.addresses import node_ips, own_addresses
from nplconf.desired.demand import Demand, demand
from nplconf.desired.incremental import Rendered, RenderInputs, render_incrementally
from nplconf.desired.pods import Numbers, PortRequest, Refusal, Site, running, shared_addresses
from nplconf.desired.ports import Previous, allocate
from nplconf.desired.requests import unserved, why_not
from nplconf.desired.services import Selection, select, selecting
from nplconf.desired.shares import Share
from nplconf.desired.skips import MOST
from nplconf.model import (
    USUAL_PROTOCOLS,
    ClusterState,
    Family,
    Node,
    Plan,
    Pod,
    PodPort,
    PortMapping,
    PortRange,
    Protocol,
    Skipped,
    Via,
    in_plan_order,
)
from nplconf.plan.diff import with_objects_of

if TYPE_CHECKING:
    from nplconf.plan.policy import Policy


@dataclass(frozen=True, slots=True)
class Desired:
    """The administrator's choices.

    Attributes:
        port_range: The node ports there are.
        node_ips: Addresses to advertise instead of the Node object's.
        policy: What may be mapped.
        namespace_share: Percent of the range that one namespace may have.
        protocols: The protocols that can be mapped.

    """

    port_range: PortRange
    node_ips: Mapping[Family, str] = field(default_factory=dict, hash=False)
    policy: "Policy | None" = None
    namespace_share: int = 50
    protocols: tuple[Protocol, ...] = USUAL_PROTOCOLS


def render(cluster: ClusterState, node: Node, settings: Desired, past: Previous, cache: Cache | None = None) -> Plan:
    """Return the plan of a node: its mappings, and what is skipped with the reasons.

    Args:
        cluster: The snapshot.
        node: The node.
        settings: The administrator's choices.
        past: Earlier allocations.
        cache: Results of earlier runs.

    """
    cache = cache or Cache()
    selection = cache.last(select, cluster.services, settings.protocols)
    inputs = RenderInputs(selection, cluster.identity, node, settings, cluster.pods, past)
    return cache.last(rendered, inputs, cache, adapt=_adapt).plan


@dataclass(frozen=True, slots=True)
class Renderer:
    """A node whose plan can be rendered as soon as its earlier allocations are known."""

    node: Node
    render: Callable[[Previous], Plan]


def each_node(cluster: ClusterState, settings: Desired) -> Iterator[Renderer]:
    """Yield every node, sorted by name, ready to render. Each Service and Pod is read once."""
    selection = select(cluster.services, settings.protocols)
    pods: dict[str, list[Pod]] = {}
    for pod in cluster.pods:
        pods.setdefault(pod.node, []).append(pod)
    for node in sorted(cluster.nodes, key=lambda n: n.name):
        here = tuple(pods.get(node.name, ()))
        yield Renderer(
            node, partial(_plan, RenderInputs(selection, cluster.identity, node, settings, here, Previous()))
        )


def unserved_reasons(cluster: ClusterState, node: Node, settings: Desired) -> Callable[[PortMapping], str | None]:
    """Return a function that says why a row of a plan is not served now; None: no Service asks for it."""

    @cache
    def world() -> tuple[Selection, dict[str, Pod], Site]:
        here = running(cluster.pods, node.name)
        return (
            select(cluster.services, settings.protocols),
            {pod.ref.key: pod for pod in here},
            _site(node, settings, here),
        )

    def why(row: PortMapping) -> str | None:
        selection, here, site = world()
        pod = here.get(row.pod.key)
        place = (row.pod_port, row.protocol, row.family)
        return why_not(pod, selecting(selection, pod), site, place) if pod else None

    return why


def _site(node: Node, settings: Desired, here: Collection[Pod]) -> Site:
    advertised = node_ips(node, settings.node_ips)
    return Site(advertised, own_addresses(node, advertised), shared_addresses(here))


def _plan(inputs: RenderInputs, past: Previous) -> Plan:
    return rendered(inputs._replace(past=past)).plan


def rendered(inputs: RenderInputs, cache: Cache | None = None) -> Rendered:
    """Render the plan of all Pods. cache: results of earlier runs."""
    selection, identity, node, settings, pods, past = inputs
    here = running(pods, node.name)
    site = _site(node, settings, here)
    asked = demand(selection, here, site, settings.port_range, settings.policy, past, cache)
    others = claims.numbers(selection.claims, here, site.own)
    numbers = _numbers(asked.requests, settings, others, past)
    unnumbered = tuple(_unnumbered(asked, numbers, settings.port_range))
    asked.skips.add(unnumbered)
    plan = Plan(
        node=node.name,
        cluster=identity,
        node_ips=dict(site.advertised),
        port_range=settings.port_range,
        mappings=with_objects_of(past.live, _mappings(asked.requests, numbers.given)),
        skipped=asked.skips.rows(),
    )
    complete = not unnumbered and len(plan.skipped) <= MOST
    return Rendered(plan, others, complete)


def _adapt(before: tuple[RenderInputs, Cache], earlier: Rendered, now: tuple[RenderInputs, Cache]) -> Rendered | None:
    """Return the plan if few Pods have changed. See `cache.Adapt`."""
    return render_incrementally(before[0], earlier, now[0], rendered)


def _mappings(wanted: Iterable[PortRequest], numbers: Mapping[PodPort, int]) -> tuple[PortMapping, ...]:
    found = []
    for pod, port, protocol, family, node_ip, pod_ip, services, host_port, sources, owner in wanted:
        if number := host_port or numbers.get(owner):
            via: Via = "hostPort" if host_port else "dnat"
            found.append(PortMapping(number, protocol, family, node_ip, pod.ref, pod_ip, port, services, via, sources))
    return tuple(sorted(found, key=in_plan_order))


def _numbers(wanted: Iterable[PortRequest], settings: Desired, others: Mapping[int, str], past: Previous) -> Numbers:
    """Return the node port of each owner. others: the ports that others use on the node."""
    share = Share(settings.namespace_share, settings.port_range)
    rows = tuple(wanted)
    late = _late(rows, past)
    if late:
        found = _numbers([request for request in rows if request.owner not in late], settings, others, past)
        return Numbers(found.given, {**found.refused, **dict.fromkeys(late, _TERMINATING)})
    if settings.policy:
        from nplconf.desired.policy import numbered

        return numbered(rows, settings.policy, settings.port_range, others, past, share)
    wanted = rows
    asking = {request.owner: request.pod.annotation for request in wanted if not request.host_port}
    given, over_share = allocate(asking, settings.port_range, frozenset(others), past, share.most)
    refused = dict.fromkeys(asking, _full(settings.port_range))
    return Numbers(given, refused | {owner: share.refusal(owner) for owner in over_share})


_TERMINATING = Refusal("terminating", "the Pod is being deleted, so it gets no new number")


def _late(wanted: Iterable[PortRequest], past: Previous) -> frozenset[PodPort]:
    """Return the ports of deleted Pods that have no number yet."""
    deleted = (request.owner for request in wanted if request.pod.terminating and not request.host_port)
    return frozenset(owner for owner in deleted if not any(owner in source for source in past.current))


def _unnumbered(asked: Demand, numbers: Numbers, port_range: PortRange) -> Iterator[Skipped]:
    """Yield what has no node port: requests, and ports that were not expanded to requests."""
    for request in asked.requests:
        if not request.host_port and request.owner not in numbers.given:
            yield from unserved(request, numbers.refused[request.owner])
    for rest in asked.rest:
        refusal = numbers.refused.get(rest.like) or _full(port_range)
        yield Skipped(rest.like.pod, rest.first.port, rest.first.protocol, rest.service, *refusal, more=rest.more)


def _full(port_range: PortRange) -> Refusal:
    return Refusal("range-full", f"no number of {port_range} is free")
