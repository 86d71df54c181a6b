"""Decisions that change nothing: a limit blocks the whole run."""

from collections.abc import Iterable

from nplconf.desired.addresses import given
from nplconf.errors import BadDataError
from nplconf.model import Node, Plan, PortMapping
from nplconf.plan.diff import Diff, diff
from nplconf.plan.limits import Blocked
from nplconf.rules import antrea
from nplconf.run.decision import Decision
from nplconf.run.decision_options import Options
from nplconf.run.observed import Observed, live_now
from nplconf.run.publication import Publication


def block_all(blocked: Blocked, observed: Observed, options: Options) -> Decision:
    """Return the decision of a run that a limit blocks as a whole."""
    live = live_now(observed, options)
    plan = Plan(options.node, observed.state.cluster, given(options.node_ips), options.port_range)
    return Decision(
        plan=plan,
        eligible=live,
        live=live,
        diff=nothing(live),
        wanted={},
        interim={},
        addresses={},
        patches=(),
        findings=(),
        failures=(),
        next_state=observed.state,
        publication=Publication(plan),
        blocked=blocked,
    )


def nothing(live: Iterable[PortMapping]) -> Diff:
    """Return the difference of a node to itself."""
    return diff(live, live, why_add=lambda _: "", why_delete=lambda _: "")


def beside_agent(observed: Observed, options: Options) -> Decision | None:
    """Return the decision of a run that an Antrea agent on this node blocks; None without one, or with --force."""
    message = "" if options.force else antrea.live_agent(observed.antrea)
    return block_all(Blocked("antrea", message), observed, options) if message else None


def without_node(missing: BadDataError, observed: Observed, options: Options, *, served: bool) -> Decision:
    """Block a run whose cluster has no Node of this name. served: the cluster is no file.

    Raises:
        BadDataError: The cluster is a file.

    """
    message = f"{missing} Nothing was changed."
    if not served:
        raise BadDataError(message) from missing
    return block_all(Blocked("no-node", message), observed, options)


def without_addresses(node: Node) -> Blocked:
    """Return the limit for a Node that has no address while mappings are live."""
    message = f"Node {node.name} has no addresses in the cluster, and mappings are live. Nothing was changed."
    return Blocked("no-address", f"{message} Wait until the Node has addresses, or set nodeIPs in the config file")
