"""The entries of a Pod's annotation for a Service port.

Tenants can write annotations. An address that is no machine's on a network (127.0.0.1, link-local, metadata services)
is left out: a load balancer would send requests to itself or to its cloud.
"""

from collections.abc import Iterator

from nplconf.addresses import canonical, family_of, misleading, special
from nplconf.desired.names import protocol_of
from nplconf.desired.offers import named_numbers
from nplconf.model import Pod, Service, ServicePort
from nplconf.publish import annotation
from nplconf.publish.annotation import Entry


def entries(service: Service, port: ServicePort, pod: Pod) -> Iterator[Entry]:
    """Yield what is published of a Pod for a Service port, once for each family."""
    place = (pod_port(port, pod), protocol_of(port))
    seen = set()
    for entry in annotation.parse(pod.annotation):
        asked = (entry.pod_port, entry.protocol) == place and entry.family in service.families
        if asked and usable(entry) and entry.family not in seen:
            seen.add(entry.family)
            yield entry


def pod_port(port: ServicePort, pod: Pod) -> int | None:
    """Return the number of a Service port's target on a Pod; None where no container of it has that name."""
    if isinstance(port.target, int):
        return port.target
    return named_numbers(pod.ports).get((port.target, protocol_of(port)))


def usable(entry: Entry) -> bool:
    """Return whether a published address can be a node's."""
    address = entry.node_ip
    if canonical(address) != address or family_of(address) != entry.family or not 0 < entry.node_port < 65536:
        return False
    return special(address) is None and misleading(address) is None
