"""The requests of Services for one Pod, expanded only as far as they can be served. Pure.

The range has a thousand node ports, and a Service may ask for ten thousand ports of each of a hundred Pods. So the
ports of a Pod are expanded up to the node ports that are available (`room`) and one more, whose refusal is that of all
others.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import NamedTuple

from nplconf.addresses import canonical
from nplconf.desired.names import protocol_of, shown
from nplconf.desired.offers import Asked, Offer, RequestedPort, named_numbers
from nplconf.desired.pods import HOST_NETWORK, PortRequest, Refusal, Site, addresses, unservable
from nplconf.desired.shapes import HostPorts, Place, Shape, families, places
from nplconf.model import PROTOCOLS, ContainerPort, Family, Pod, PodPort, ServicePort, Skipped


@dataclass(frozen=True, slots=True)
class Audience:
    """The clients that may reach a namespace.

    Attributes:
        denied: Why nobody may.
        sources: Per family the networks of its clients (empty: anywhere), or why there are none.
        host_port: Why a hostPort cannot be served: it is open to every client.

    """

    denied: Refusal | None = None
    sources: Mapping[Family, tuple[str, ...] | Refusal] = field(default_factory=dict, hash=False)
    host_port: Refusal | None = None


EVERYBODY = Audience()


class Bound(NamedTuple):
    """How far the ports of a Pod are expanded.

    Attributes:
        room: How many node ports are available for new requests.
        known: Returns the ports that are expanded in any case.

    """

    room: int = 65535
    known: Callable[[], Collection[int]] = frozenset


EVERYTHING = Bound()


class Rest(NamedTuple):
    """Ports that were not expanded. like: the owner whose refusal is theirs; first: the first of them."""

    service: str
    first: RequestedPort
    more: int
    like: PodPort


class Requested(NamedTuple):
    """The requests for one Pod.

    Attributes:
        requests: What may be served.
        skipped: What cannot be served.
        rest: Ports that were not expanded.
        new: How many node ports the requests need that the Pod did not have before.

    """

    requests: Sequence[PortRequest] = ()
    skipped: tuple[Skipped, ...] = ()
    rest: tuple[Rest, ...] = ()
    new: int = 0


def requests(
    pod: Pod, shape: Shape, site: Site, audience: Audience = EVERYBODY, bound: Bound = EVERYTHING
) -> Requested:
    """Return the requests for what the Services that select a Pod ask of it, and what it cannot have.

    Args:
        pod: The Pod.
        shape: What the Services ask of Pods with its container ports.
        site: The node.
        audience: Who may reach the namespace of the Pod.
        bound: How far its ports are expanded.

    """
    on_host = HOST_NETWORK if pod.host_network and not shape.host_ports else None
    if refused := unservable(pod) or on_host or audience.denied:
        return Requested(skipped=tuple(row for one in shape.asked for row in _of_all(pod, one, refused)))
    ways = {family: _way(pod, family, site, audience) for family in shape.families}
    if shape.is_plain and shape.size <= bound.room and not any(isinstance(way, Refusal) for way in ways.values()):
        # as nearly all Pods
        return Requested(_requests(pod, shape.places(shape.families), ways, shape.host_ports), new=shape.ports)
    return _requests_in_part(pod, shape, ways, audience, bound)


def _requests_in_part(
    pod: Pod, shape: Shape, ways: "Mapping[Family, _Way | Refusal]", audience: Audience, bound: Bound
) -> Requested:
    """Return the requests of a Pod of which something may not be served."""
    skipped = [row for one in shape.asked for row in (*_unmappable(pod, one), *_unreachable(pod, one, ways))]
    reached = tuple(family for family, way in ways.items() if not isinstance(way, Refusal))
    served = [one for one in shape.asked if not set(families(one.offer)).isdisjoint(reached)]
    chosen = _declared(shape.host_ports) if pod.host_network else _choose(served, shape.host_ports, bound)
    expanded = ((one.offer, _expanded(one, chosen)) for one in served)
    there = shape.places(reached) if chosen.ports is None else places(expanded, reached)
    wanted = _requests(pod, there, ways, shape.host_ports)
    rest = tuple(_rest(pod, served, chosen))
    if pod.host_network:
        skipped += _undeclared(wanted, rest)
        wanted, rest = [request for request in wanted if request.host_port], ()
    closed = [request for request in wanted if request.host_port and request.sources and audience.host_port]
    for request in closed:
        skipped += unserved(request, audience.host_port or Refusal("", ""))
    return Requested(
        requests=[request for request in wanted if request not in closed] if closed else wanted,
        skipped=tuple(skipped),
        rest=rest,
        new=chosen.new,
    )


def unserved(request: PortRequest, refusal: Refusal) -> Iterator[Skipped]:
    """Yield a row of `skipped` for each Service whose request is not served."""
    for service in request.services:
        yield Skipped(request.pod.ref.key, request.port, request.protocol, service, *refusal)


def why_not(pod: Pod, offers: Iterable[Offer], site: Site, place: tuple[int, str, str]) -> str | None:
    """Return why a place (port, protocol, family) with a node port is not served; None if no Service asks for it."""
    port, protocol, family = place
    numbers = named_numbers(pod.ports)
    for offer in offers:
        if family in offer.service.families and (port, protocol) in Asked(offer, numbers):
            refused = unservable(pod) or (HOST_NETWORK if pod.host_network else None)
            found = refused or addresses(pod, "IPv6" if family == "IPv6" else "IPv4", site)
            return found.reason if isinstance(found, Refusal) else "range-full"
    return None


# --- what is refused for all ports -----------------------------------------------------------------------------------


class _Way(NamedTuple):
    """How a Pod is reached in one family."""

    node_ip: str
    pod_ip: str
    sources: tuple[str, ...]


def _way(pod: Pod, family: Family, site: Site, audience: Audience) -> _Way | Refusal:
    found, sources = addresses(pod, family, site), audience.sources.get(family, ())
    if isinstance(found, Refusal):
        return found
    return sources if isinstance(sources, Refusal) else _Way(*found, sources)


def _of_all(pod: Pod, asked: Asked, refusal: Refusal) -> Iterator[Skipped]:
    """Yield one row for all ports of a Service."""
    firsts: list[tuple[int | str, str]] = [*asked.first(), *(_shown(pod, port) for port in asked.offer.unsupported[:1])]
    if asked.unresolved:
        firsts.append(_shown(pod, asked.first_unresolved()))
    if firsts:
        first = min(firsts, key=lambda target: (isinstance(target[0], str), str(target[0]).rjust(5), target[1]))
        count = len(asked) + asked.unresolved + len(asked.offer.unsupported)
        yield _row(pod, asked.offer, first, refusal, count - 1)


def _unmappable(pod: Pod, asked: Asked) -> Iterator[Skipped]:
    """Yield rows for the ports that cannot be mapped at any address."""
    if unsupported := asked.offer.unsupported:
        first = unsupported[0]
        known = " and ".join(protocol.upper() for protocol in asked.offer.protocols)
        refusal = Refusal("protocol-unsupported", f"{shown(first.protocol)} cannot be mapped, {known} can")
        yield _row(pod, asked.offer, _shown(pod, first), refusal, len(unsupported) - 1)
    if asked.unresolved:
        first = asked.first_unresolved()
        message = f"no container of the Pod has a {first.protocol} container port named {shown(str(first.target))}"
        refusal = Refusal("named-port-unresolved", message)
        yield _row(pod, asked.offer, _shown(pod, first), refusal, asked.unresolved - 1)


def _unreachable(pod: Pod, asked: Asked, ways: Mapping[Family, _Way | Refusal]) -> Iterator[Skipped]:
    """Yield a row for each reason why a Pod is not reached in a family."""
    found: dict[str, Refusal] = {}
    for family in families(asked.offer):
        way = ways[family]
        if isinstance(way, Refusal):
            found.setdefault(way.reason, way)
    for refusal in found.values():
        for first in asked.first():
            yield _row(pod, asked.offer, first, refusal, len(asked) - 1)


def _row(pod: Pod, offer: Offer, target: tuple[int | str, str], refusal: Refusal, more: int) -> Skipped:
    return Skipped(shown(pod.ref.key), target[0], target[1], offer.key, *refusal, more=more)


def _shown(pod: Pod, port: ServicePort) -> tuple[int | str, str]:
    """Return the target and protocol of a port as rows show them: a number if the Pod has the named port."""
    protocol = protocol_of(port)
    if isinstance(port.target, int):
        return port.target, protocol
    return named_numbers(pod.ports).get((port.target, protocol), shown(port.target)), protocol


# --- the ports that are expanded -------------------------------------------------------------------------------------


class _Chosen(NamedTuple):
    """ports: those to expand; None for all. like: the port whose refusal is that of all others."""

    ports: frozenset[int] | None
    new: int
    like: int = 0


def _choose(asked: list[Asked], host_ports: HostPorts, bound: Bound) -> _Chosen:
    """Choose the ports that had a number or have a hostPort, and of the others the first that there is room for."""
    if sum(map(len, asked)) <= bound.room:
        return _Chosen(None, len({target.port for one in asked for target in one}))
    certain = {*bound.known(), *(port for port, _ in host_ports)}
    new: dict[int, None] = {}
    for target in merge(*asked):
        if target.port not in certain:
            new[target.port] = None
            if len(new) > bound.room:
                break
    there = (port for port in certain if any((port, p) in one for one in asked for p in PROTOCOLS))
    return _Chosen(frozenset((*new, *there)), len(new), next(reversed(new), 0))


def _declared(host_ports: HostPorts) -> _Chosen:
    """Choose the ports that a Pod on the host network declares; they need no number."""
    return _Chosen(frozenset(port for port, _ in host_ports), new=0)


def _undeclared(wanted: Iterable[PortRequest], rest: Iterable[Rest]) -> Iterator[Skipped]:
    """Yield rows for the ports that a Pod on the host network does not declare."""
    for request in wanted:
        if not request.host_port:
            yield from unserved(request, HOST_NETWORK)
    for left in rest:
        yield Skipped(left.like.pod, left.first.port, left.first.protocol, left.service, *HOST_NETWORK, more=left.more)


def _requests(
    pod: Pod, there: Iterable[Place], ways: Mapping[Family, _Way | Refusal], host_ports: HostPorts
) -> list[PortRequest]:
    key = pod.ref.key
    found = []
    for port, protocol, family, services in there:
        way = ways[family]
        if isinstance(way, _Way):
            listening = host_ports.get((port, protocol), ()) if host_ports else ()
            already = _host_port(listening, family, way.node_ip) if listening else 0
            owner = PodPort(key, port)
            found.append(
                PortRequest(pod, port, protocol, family, way.node_ip, way.pod_ip, services, already, way.sources, owner)
            )
    return found


def _expanded(asked: Asked, chosen: _Chosen) -> Iterator[RequestedPort]:
    if chosen.ports is None:
        yield from asked
        return
    for port in chosen.ports:
        for protocol in PROTOCOLS:
            if (target := RequestedPort(port, protocol)) in asked:
                yield target


def _rest(pod: Pod, asked: Iterable[Asked], chosen: _Chosen) -> Iterator[Rest]:
    """Yield the ports of each Service that were not expanded."""
    ports = chosen.ports
    if ports is None:
        return
    for one in asked:
        left = len(one) - sum(1 for _ in _expanded(one, chosen))
        if left:
            first = next(target for target in one if target.port not in ports)
            yield Rest(one.offer.key, first, left - 1, PodPort(pod.ref.key, chosen.like))


def _host_port(ports: Iterable[ContainerPort], family: Family, node_ip: str) -> int:
    """Return the lowest hostPort at which the port is reached at the advertised address; 0 without one."""
    return min((port.host_port for port in ports if _listens(port.host_ip, family, node_ip)), default=0)


def _listens(host_ip: str, family: Family, node_ip: str) -> bool:
    if host_ip in ("", "::"):
        return True
    return family == "IPv4" if host_ip == "0.0.0.0" else canonical(host_ip) == node_ip  # noqa: S104 - it is compared
