"""What the Services ask of one Pod: wishes for mappings, and what cannot be had with its reason."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from nplconf.addresses import canonical, family_of, special
from nplconf.desired.names import invalid_part, shown
from nplconf.desired.services import protocol_of
from nplconf.model import FAMILIES, PROTOCOLS, Family, Pod, PodPort, Protocol, Service, ServicePort, Skipped


class Refusal(NamedTuple):
    """Why something is not served: one of the reasons of `skipped`, a sentence, the policy's rule where one did it."""

    reason: str
    message: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """The node that Pods are on. advertised: its address per family. own: all its addresses.

    shared: addresses that more than one running Pod of this node says it has.
    """

    advertised: Mapping[Family, str]
    own: frozenset[str]
    shared: frozenset[str]


class PortRequest(NamedTuple):
    """A mapping that is to be, but for its number. host_port: the number the CNI maps already, 0 when it does not.

    sources: the networks its clients must come from, none for anywhere.
    """

    pod: Pod
    port: int
    protocol: Protocol
    family: Family
    node_ip: str
    pod_ip: str
    services: tuple[str, ...]
    host_port: int
    sources: tuple[str, ...] = ()

    @property
    def owner(self) -> PodPort:
        """What its number would belong to."""
        return PodPort(self.pod.ref.key, self.port)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers that were given, and why the other (Pod, port)s have none."""

    given: Mapping[PodPort, int]
    refused: Mapping[PodPort, Refusal]


class _Endpoint(NamedTuple):
    port: int
    protocol: Protocol
    family: Family


def running(pods: Iterable[Pod], node: str) -> list[Pod]:
    """The node's Pods that are not terminated, sorted, one for each name: of two UIDs the last in order."""
    by_key = {p.ref.key: p for p in sorted(pods, key=lambda p: p.ref) if p.node == node and not p.terminated}
    return list(by_key.values())


def shared_addresses(pods: Iterable[Pod]) -> frozenset[str]:
    """The addresses that several Pods have; Pods on the host network all have the node's, which is no conflict."""
    count = Counter(ip for pod in pods if not pod.host_network for ip in {canonical(ip) or ip for ip in pod.ips})
    return frozenset(ip for ip, times in count.items() if times > 1)


def requests(pod: Pod, services: Sequence[Service], site: Site) -> tuple[list[PortRequest], list[Skipped]]:
    """What the Services that select a Pod ask of it, a wish per port, protocol and family, and what it cannot have."""
    refused = _unservable(pod)
    addresses: dict[Family, tuple[str, str] | Refusal] = {}
    asked: dict[_Endpoint, set[str]] = {}
    skipped: list[Skipped] = []
    for service in services:
        for port in service.ports:
            number = resolve(pod, port.target, protocol_of(port))
            refusal = refused or _unmappable(port, number)
            if refusal:
                skipped.append(_skip(pod, number, port, service, refusal))
                continue
            for family in FAMILIES:
                if family not in service.families:
                    continue
                found = addresses.get(family) or _addresses(pod, family, site)
                addresses[family] = found
                if isinstance(found, Refusal):
                    skipped.append(_skip(pod, number, port, service, found))
                else:
                    endpoint = _Endpoint(cast("int", number), cast("Protocol", protocol_of(port)), family)
                    asked.setdefault(endpoint, set()).add(service.key)
    real = {family: found for family, found in addresses.items() if not isinstance(found, Refusal)}
    return list(_wishes(pod, asked, real)), skipped


def unserved(request: PortRequest, refusal: Refusal) -> Iterator[Skipped]:
    """A row for each Service that asks for a wish that is not fulfilled."""
    for service in request.services:
        yield Skipped(request.pod.ref.key, request.port, request.protocol, service, *refusal)


def resolve(pod: Pod, target: int | str, protocol: str) -> int | None:
    """A targetPort as a number: a name is the first container port's that has it and the protocol (lower case)."""
    if isinstance(target, int):
        return target
    for port in pod.ports:
        if port.name and port.name == target and port.protocol.lower() == protocol:
            return port.container_port
    return None


def host_port(pod: Pod, endpoint: _Endpoint, node_ip: str) -> int:
    """The hostPort under which the port is reached at the advertised address already, the lowest; 0 without one."""
    usable = [
        port.host_port
        for port in pod.ports
        if port.host_port
        and port.container_port == endpoint.port
        and port.protocol.lower() == endpoint.protocol
        and _listens(port.host_ip, endpoint.family, node_ip)
    ]
    return min(usable, default=0)


def _listens(host_ip: str, family: Family, node_ip: str) -> bool:
    if host_ip in ("", "::"):
        return True
    return family == "IPv4" if host_ip == "0.0.0.0" else canonical(host_ip) == node_ip  # noqa: S104 - it is compared


def _wishes(
    pod: Pod, asked: Mapping[_Endpoint, set[str]], addresses: Mapping[Family, tuple[str, str]]
) -> Iterator[PortRequest]:
    for endpoint, services in asked.items():
        node_ip, pod_ip = addresses[endpoint.family]
        already = host_port(pod, endpoint, node_ip) if pod.ports else 0
        yield PortRequest(pod, *endpoint, node_ip, pod_ip, tuple(sorted(services)), already)


def _unservable(pod: Pod) -> Refusal | None:
    """Why no port at all of a Pod is served."""
    if part := invalid_part(pod.ref):
        return Refusal("name-invalid", f"the Pod's {part} is none that Kubernetes gives")
    if pod.host_network:
        return Refusal("host-network", "the Pod is on the host network: its ports are the node's already")
    return None


def _unmappable(port: ServicePort, number: int | None) -> Refusal | None:
    if protocol_of(port) not in PROTOCOLS:
        return Refusal("protocol-unsupported", f"{shown(port.protocol)} cannot be mapped, TCP and UDP can")
    if number is None:
        what = f"{port.protocol} container port named {shown(str(port.target))}"
        return Refusal("named-port-unresolved", f"no container of the Pod has a {what}")
    return None


def _addresses(pod: Pod, family: Family, site: Site) -> tuple[str, str] | Refusal:
    """(node IP, Pod IP) of a family, or why there is none."""
    node_ip = site.advertised.get(family)
    if node_ip is None:
        return Refusal("node-ip-missing", f"the node has no usable {family} address")
    refusal = None
    for text in pod.ips:
        if family_of(text) == family:
            problem = _bad_address(text, site)
            if problem is None:
                return node_ip, text
            # the first bad address tells more than a later one, or than "missing"
            refusal = refusal or problem
    return refusal or Refusal("pod-ip-missing", f"the Pod has no {family} address")


def _bad_address(text: str, site: Site) -> Refusal | None:
    if canonical(text) != text:
        return Refusal(
            "pod-ip-invalid", f"the Pod's {family_of(text)} address {shown(text)!r} is not in canonical form"
        )
    if kind := special(text):
        return Refusal("pod-ip-invalid", f"the Pod's {family_of(text)} address {text} is {kind}")
    if text in site.own:
        return Refusal("pod-ip-invalid", f"the Pod's {family_of(text)} address {text} is the node's own")
    if text in site.shared:
        return Refusal("pod-ip-shared", f"another running Pod has the {family_of(text)} address {text}, too")
    return None


def _skip(pod: Pod, number: int | None, port: ServicePort, service: Service, refusal: Refusal) -> Skipped:
    target = shown(str(port.target)) if number is None else number
    return Skipped(shown(pod.ref.key), target, protocol_of(port), service.key, refusal.reason, refusal.message)
