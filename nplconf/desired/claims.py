"""Node ports that others use: Services through kube-proxy, and Pods through the hostPorts of the CNI. Pure.

Their rules take a packet before those of nplconf, and any tenant can claim a port (`externalIPs`). So a claimed port is
never given to a Pod, and a mapping that has one moves.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from nplconf.addresses import lenient, special
from nplconf.desired.addresses import node_ips, own_addresses
from nplconf.desired.names import shown
from nplconf.model import ContainerPort, Family, Node, Pod, Service

Kind = Literal["nodePort", "healthCheckNodePort", "externalIPs", "loadBalancer ingress"]
"""The field of a Service that claims a number."""


class Claim(NamedTuple):
    """A node port that a Service uses. service: namespace/name. address: where; "" at every address of a node."""

    service: str
    kind: Kind
    number: int
    address: str = ""

    def __str__(self) -> str:
        return f"{_WORDS[self.kind].format(self.address)} of Service {self.service}"


_WORDS: Mapping[Kind, str] = {
    "nodePort": "a nodePort",
    "healthCheckNodePort": "the healthCheckNodePort",
    "externalIPs": "a port at the external IP {}",
    "loadBalancer ingress": "a port at the load balancer IP {}",
}


def of_services(services: Iterable[Service]) -> Iterator[Claim]:
    """Yield every node port that Services claim, in the order of the Services."""
    for service in services:
        node_ports = [port.node_port for port in service.ports if port.node_port]
        if not (node_ports or service.health_check_node_port or service.external_ips or service.ingress_ips):
            continue  # as most of thousands
        name = shown(service.key)
        yield from (Claim(name, "nodePort", number) for number in node_ports)
        if service.health_check_node_port:
            yield Claim(name, "healthCheckNodePort", service.health_check_node_port)
        yield from _at_addresses(service, name, "externalIPs", service.external_ips)
        yield from _at_addresses(service, name, "loadBalancer ingress", service.ingress_ips)


def _at_addresses(service: Service, name: str, kind: Kind, texts: Iterable[str]) -> Iterator[Claim]:
    for address in filter(None, map(lenient, texts)):
        yield from (Claim(name, kind, port.port, address) for port in service.ports if port.port)


def concerning(claims: Iterable[Claim], addresses: Collection[str]) -> Iterator[Claim]:
    """Yield the claims that concern a node with these addresses."""
    return (claim for claim in claims if not claim.address or claim.address in addresses)


def numbers(claims: Iterable[Claim], pods: Iterable[Pod], addresses: Collection[str]) -> dict[int, str]:
    """Return the ports of a node that others use, each with words that say who does.

    Args:
        claims: those of all Services.
        pods: the Pods that run on the node.
        addresses: every address of the node.

    """
    found: dict[int, str] = {}
    for claim in concerning(claims, addresses):
        found.setdefault(claim.number, str(claim))
    return found | host_ports(pods, addresses)


def on_node(
    services: Iterable[Service], here: Iterable[Pod], node: Node, overrides: Mapping[Family, str]
) -> dict[int, str]:
    """Return `numbers` of one node.

    Args:
        services: those of the snapshot.
        here: the Pods that run on the node.
        node: the Node object.
        overrides: addresses that are advertised instead of the Node's own.

    """
    return numbers(of_services(services), here, own_addresses(node, node_ips(node, overrides)))


def host_ports(pods: Iterable[Pod], addresses: Collection[str]) -> dict[int, str]:
    """Return the hostPorts that a CNI has programmed for these Pods, of any protocol, and the Pod of each.

    A Pod without an address has none, because a CNI programs them together with the address. A Pod that cannot start
    (Pending, with thousands of hostPorts) must not take ports from others.
    """
    having = (pod for pod in pods if pod.ports and pod.ips)
    return {
        port.host_port: f"a hostPort of Pod {shown(pod.ref.key)}"
        for pod in having
        for port in pod.ports
        if port.host_port and _is_at(port, addresses)
    }


def _is_at(port: ContainerPort, addresses: Collection[str]) -> bool:
    """Return whether a hostPort is at an address of the node: hostIP is unset, unspecified or one of them."""
    if not port.host_ip:
        return True
    address = lenient(port.host_ip)
    return address is not None and (address in addresses or special(address) == "unspecified")
