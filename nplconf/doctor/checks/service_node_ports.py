"""Check `service-node-ports`: no Service claims a port of the range at this node.

A Service claims one as nodePort, healthCheckNodePort, externalIPs or load balancer ingress address.
"""

from nplconf.desired import claims
from nplconf.desired.addresses import node_ips, own_addresses
from nplconf.desired.node_name import find_node
from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.cluster import answers
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked
from nplconf.model import ClusterState
from nplconf.settings import Settings

NAMED = 5
"""How many Services a message names."""


def service_node_ports(facts: Facts) -> Verdict:
    """kube-proxy uses no port of the range."""
    snapshot, port_range = facts.read(answers).snapshot, facts.settings.port_range
    if isinstance(snapshot, Unknown):
        return unchecked(snapshot)
    inside = [claim for claim in _claims(snapshot, facts.settings) if claim[2] in port_range]
    if not inside:
        return ok(f"no Service claims a port of {port_range} at this node")
    names = [f"{service} ({kind} {number})" for service, kind, number in inside[:NAMED]]
    more = f" and {len(inside) - NAMED} more" if len(inside) > NAMED else ""
    namespace, _, name = inside[0][0].partition("/")
    message = f"Services claim ports of {port_range} at this node: {', '.join(names)}{more}"
    return fail(message, f"kubectl -n {namespace} edit service {name}  # or choose another portRange")


def _claims(cluster: ClusterState, settings: Settings) -> tuple[tuple[str, str, int], ...]:
    """Return (Service, field that claims it, port) of every port that Services have at this node."""
    node = find_node(cluster, settings.node)
    addresses = own_addresses(node, node_ips(node, settings.node_ips)) if node else frozenset[str]()
    found = claims.concerning(claims.of_services(cluster.services), addresses)
    return tuple((claim.service, claim.kind, claim.number) for claim in found)


CHECKS = (Check("service-node-ports", 130, service_node_ports),)
