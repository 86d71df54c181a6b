"""Who has a number of the node without us: Services and host ports."""

from collections.abc import Iterable, Iterator

from nplconf.desired.names import shown
from nplconf.model import Pod, Service


def claims(number: int, services: Iterable[Service], pods: Iterable[Pod]) -> Iterator[str]:
    """What each of them has it as, in words that follow "it is". pods: those that run on the node."""
    for service in services:
        if number == service.health_check_node_port:
            yield f"the healthCheckNodePort of Service {shown(service.key)}"
        if any(number == port.node_port for port in service.ports):
            yield f"a nodePort of Service {shown(service.key)}"
    for pod in pods:
        if any(number == port.host_port for port in pod.ports):
            yield f"a hostPort of Pod {shown(pod.ref.key)}"
