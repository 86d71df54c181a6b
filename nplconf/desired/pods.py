"""The Pods of a node: which ones run, and at which address each can be reached."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from nplconf.addresses import canonical, family_of, misleading, special
from nplconf.desired.names import invalid_part, shown
from nplconf.model import Family, Pod, PodPort, Protocol


class Refusal(NamedTuple):
    """Why something is not served: a reason of `skipped`, a sentence, and the rule of the policy where one decided."""

    reason: str
    message: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """The node that Pods are on.

    Attributes:
        advertised: Its advertised address, per family.
        own: All its addresses.
        shared: Addresses that more than one running Pod of this node claims to have.

    """

    advertised: Mapping[Family, str]
    own: frozenset[str]
    shared: frozenset[str]


class PortRequest(NamedTuple):
    """A mapping without its node port.

    Attributes:
        pod: The Pod.
        port: The port of the Pod.
        protocol: The protocol.
        family: The IP family.
        node_ip: The advertised address of the node.
        pod_ip: The address of the Pod.
        services: The Services that ask for it, sorted.
        host_port: The hostPort with which the CNI maps it already; 0 without one.
        sources: The networks that clients must come from; empty: anywhere.
        owner: The owner of its node port.

    """

    pod: Pod
    port: int
    protocol: Protocol
    family: Family
    node_ip: str
    pod_ip: str
    services: tuple[str, ...]
    host_port: int
    sources: tuple[str, ...]
    owner: PodPort


@dataclass(frozen=True, slots=True)
class Numbers:
    """The node ports that were given, and why the other owners have none."""

    given: Mapping[PodPort, int]
    refused: Mapping[PodPort, Refusal]


def runs(pod: Pod, node: str) -> bool:
    """Return whether a Pod is on the node and not terminated."""
    return pod.node == node and not pod.terminated


def running(pods: Iterable[Pod], node: str) -> list[Pod]:
    """Return the node's Pods that are not terminated, sorted by namespace/name.

    Of two Pods with one name, the one with the last UID in order counts.
    """
    found: dict[str, Pod] = {}
    for pod in pods:
        if runs(pod, node):
            before = found.setdefault(pod.ref.key, pod)
            if before.ref < pod.ref:
                found[pod.ref.key] = pod
    return [found[key] for key in sorted(found)]


def shared_addresses(pods: Collection[Pod]) -> frozenset[str]:
    """Return the addresses that several Pods have."""
    own = [pod.ips for pod in pods if not pod.host_network]
    every = [canonical(ip) or ip for ips in own for ip in ips]
    if len(set(every)) == len(every):  # as on most nodes
        return frozenset()
    count = Counter(chain.from_iterable(map(addresses_of, pods)))
    return frozenset(ip for ip, times in count.items() if times > 1)


def addresses_of(pod: Pod) -> frozenset[str]:
    """Return the addresses of a Pod in canonical form; none on the host network, where it has the node's."""
    return frozenset() if pod.host_network else frozenset(canonical(ip) or ip for ip in pod.ips)


def unservable(pod: Pod) -> Refusal | None:
    """Return why no port at all of a Pod is served; None if some may be."""
    if part := invalid_part(pod.ref):
        return Refusal("name-invalid", f"the Pod's {part} is none that Kubernetes gives")
    return None


HOST_NETWORK = Refusal("host-network", "the Pod is on the host network: its ports are the node's already")
"""Why a port of a Pod on the host network is not served. A declared one is the node's own and needs no rule."""


def addresses(pod: Pod, family: Family, site: Site) -> tuple[str, str] | Refusal:
    """Return (node IP, Pod IP) of a family, or why there is none."""
    node_ip = site.advertised.get(family)
    if node_ip is None:
        return Refusal("node-ip-missing", f"the node has no usable {family} address")
    refusal = None
    for text in pod.ips:
        if family_of(text) == family:
            problem = _bad_address(text, site, on_host=pod.host_network)
            if problem is None:
                return node_ip, text
            # the first bad address explains more than a later one, or than "missing"
            refusal = refusal or problem
    return refusal or Refusal("pod-ip-missing", f"the Pod has no {family} address")


def _bad_address(text: str, site: Site, *, on_host: bool) -> Refusal | None:
    if canonical(text) != text:
        return Refusal(
            "pod-ip-invalid", f"the Pod's {family_of(text)} address {shown(text)!r} is not in canonical form"
        )
    if kind := special(text) or misleading(text):
        return Refusal("pod-ip-invalid", f"the Pod's {family_of(text)} address {text} is {kind}")
    if text in site.own and not on_host:
        return Refusal("pod-ip-invalid", f"the Pod's {family_of(text)} address {text} is the node's own")
    if text in site.shared:
        return Refusal("pod-ip-shared", f"another running Pod has the {family_of(text)} address {text}, too")
    return None
