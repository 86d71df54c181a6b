"""What is well on this node and what is not: facts in, verdicts out, nothing touched.

One cause is named once: a check whose fact could not be read because of what another check names says so, and is ok.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nplconf.doctor import cluster, installation, network
from nplconf.doctor.facts import Facts
from nplconf.doctor.verdict import Verdict

CHECKS: Mapping[str, Callable[[Facts], Verdict]] = MappingProxyType(
    {
        "backend": installation.backend,
        "backend-leftovers": installation.backend_leftovers,
        "capabilities": installation.capabilities,
        "ip-forward": network.ip_forward,
        "forward-policy": network.forward_policy,
        "route-localnet": network.route_localnet,
        "port-range": network.port_range,
        "hold": installation.hold,
        "hold-store": installation.hold_store,
        "units": installation.units,
        "last-success": installation.last_success,
        "config": installation.config,
        "service-node-ports": cluster.service_node_ports,
        "api-rights": cluster.api_rights,
        "antrea": network.antrea,
        "datapath": network.datapath,
    }
)
"""In the order in which they are told."""


def judge(facts: Facts) -> dict[str, Verdict]:
    """Every check's verdict."""
    return {name: check(facts) for name, check in CHECKS.items()}
