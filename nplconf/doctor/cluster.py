"""Checks of the cluster: what it lets us do, and what of it is in our way."""

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.verdict import Verdict, fail, ok, unknown

NAMED = 5
GRANT = "kubectl apply -f examples/kubernetes/rbac.yaml  # or bind its ClusterRole to whom the kubeconfig names"


def service_node_ports(facts: Facts) -> Verdict:
    """No Service has a number of our range at this node: nodePort, healthCheckNodePort, externalIPs or ingress IP."""
    if isinstance(facts.node_ports, Unknown):
        return unknown(facts.node_ports)
    inside = [(service, kind, number) for service, kind, number in facts.node_ports if number in facts.port_range]
    if not inside:
        return ok(f"no Service has a number of {facts.port_range} on this node")
    names = [f"{service} ({kind} {number})" for service, kind, number in inside[:NAMED]]
    more = f" and {len(inside) - NAMED} more" if len(inside) > NAMED else ""
    namespace, _, name = inside[0][0].partition("/")
    message = f"kube-proxy has numbers of {facts.port_range} too: {', '.join(names)}{more}"
    return fail(message, f"kubectl -n {namespace} edit service {name}  # or choose another portRange")


def api_rights(facts: Facts) -> Verdict:
    """Everything that a run reads and writes is allowed."""
    if isinstance(facts.rights, Unknown):
        if facts.rights.closed:
            return unknown(facts.rights)
        return fail(facts.rights.why, facts.rights.fix or "nplconf plan --kubeconfig FILE")
    missing = [right for right in facts.rights if not right.allowed]
    if missing:
        return fail(f"not allowed: {', '.join(right.what for right in missing)}", missing[0].fix or GRANT)
    return ok(f"allowed: {', '.join(right.what for right in facts.rights)}")
