"""The target of a node: the plan of the cluster or of a review, and live mappings that stay without a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nplconf.desired.addresses import matched_addresses
from nplconf.desired.last_addresses import Addressed
from nplconf.desired.render import Desired, render
from nplconf.desired.reviewed import Resolved, resolve
from nplconf.model import ClusterState, Family, Pending, Plan, PortMapping, Stale
from nplconf.plan import limits
from nplconf.plan.diff import equal_ends
from nplconf.plan.state import Alias
from nplconf.publish import life
from nplconf.run import adoption, aliases, reasons
from nplconf.run.decision import Bounds
from nplconf.run.inputs import Inputs
from nplconf.run.observed import previous_of


@dataclass(frozen=True, slots=True)
class Target:
    """The wanted state of a node.

    Attributes:
        plan: What the cluster (or the reviewed plan) asks for.
        addresses: The node's addresses that rules match.
        unasked: Live mappings that the plan does not have and whose rules stay.
        review: How the reviewed plan fits the cluster; None without a reviewed plan.
        exact: Change nothing where the reviewed plan does not fit in everything.
        aliases: Mappings of the plan under the second number of their Pod port.

    """

    plan: Plan
    addresses: Mapping[Family, tuple[str, ...]] = field(hash=False)
    unasked: life.Living = life.NOTHING
    review: Resolved | None = None
    exact: bool = False
    aliases: Mapping[PortMapping, Alias] = field(default_factory=dict, hash=False)

    @property
    def stale(self) -> tuple[Stale, ...]:
        """Rows of the reviewed plan that no longer hold."""
        return self.review.stale if self.review else ()

    @property
    def pending(self) -> tuple[Pending, ...]:
        """Pod ports that the reviewed plan does not have."""
        return self.review.pending if self.review else ()

    @property
    def inexact(self) -> bool:
        """Whether nothing may be changed because the reviewed plan does not fit."""
        review = self.review
        return self.exact and review is not None and bool(review.stale or review.pending or review.refused)


def target(
    cluster: ClusterState,
    used: Addressed,
    inputs: Inputs,
    bounds: Bounds,
    stay: tuple[PortMapping, ...] = (),
    reserved: frozenset[int] = frozenset(),
) -> Target:
    """Return what the cluster asks of this node, within the bounds.

    Args:
        cluster: The snapshot.
        used: This node's Node object with the addresses in use.
        inputs: What every step reads.
        bounds: A reviewed plan, or a policy.
        stay: Live mappings whose removal is blocked.
        reserved: Their ports.

    """
    options = inputs.options
    wanted = Desired(options.port_range, used.overrides, bounds.policy, options.namespace_share, options.protocols)
    if bounds.plan is None:
        return _of_services(cluster, used, inputs, wanted, stay, reserved)
    known = previous_of(inputs.live, inputs.observed, inputs.options).current
    mapped = {owner for numbers in known for owner in numbers}
    wanted = replace(wanted, policy=None)
    resolved = resolve(bounds.plan, cluster, used.node, wanted, exact=bounds.exact, mapped=mapped)
    addresses = matched_addresses(used.node, resolved.plan.node_ips)
    return Target(resolved.plan, addresses, _unasked(resolved.plan, inputs, stay), resolved, bounds.exact)


def with_aliases(made: Target, inputs: Inputs) -> Target:
    """Add the aliases that serve rows of the plan."""
    observed, options = inputs.observed, inputs.options
    if not observed.state.aliases and not observed.antrea.chains:  # as in most runs
        return made
    possible = aliases.current(observed, inputs.pods, options.cool_down)
    return replace(made, aliases=aliases.rows(possible, made.plan, inputs.live, observed, options))


def _of_services(
    cluster: ClusterState,
    used: Addressed,
    inputs: Inputs,
    wanted: Desired,
    stay: tuple[PortMapping, ...],
    reserved: frozenset[int],
) -> Target:
    observed = inputs.observed
    live = aliases.without(inputs.live, observed.state.aliases)
    previous = previous_of(live, observed, inputs.options)
    reserved |= {alias.key.node_port for alias in observed.state.aliases}
    previous = adoption.with_numbers(previous, observed.antrea, inputs.pods, observed.now)
    plan = render(cluster, used.node, wanted, replace(previous, taken=previous.taken | reserved), inputs.cache)
    unasked = _unasked(plan, inputs, stay)
    stays = limits.reserved(unasked.states, plan)
    if stays and (in_use := stays.intersection(m.node_port for m in plan.mappings)):
        taken = previous.taken | reserved | in_use
        plan = render(cluster, used.node, wanted, replace(previous, taken=taken), inputs.cache)
        unasked = _unasked(plan, inputs, stay)
    return Target(plan, matched_addresses(used.node, plan.node_ips), unasked)


def _unasked(plan: Plan, inputs: Inputs, stay: tuple[PortMapping, ...]) -> life.Living:
    """Return the live mappings that the plan does not have and whose rules stay, without the blocked ones (`stay`)."""
    if inputs.live == plan.mappings:  # as in most runs
        return life.NOTHING
    first, last = equal_ends(inputs.live, plan.mappings)
    blocked = set(stay)
    left = [m for m in inputs.live[first : len(inputs.live) - last] if m.pod.name and m not in blocked]
    if not left:
        return life.NOTHING
    names = {m.pod.name for m in left}
    asked = {(m.owner, m.protocol, m.family) for m in plan.mappings if m.pod.name in names}
    left = [m for m in left if (m.owner, m.protocol, m.family) not in asked]
    if not left:
        return life.NOTHING
    observed = inputs.observed
    why = reasons.going(inputs.pods, plan, plan.mappings)
    since = observed.state.unasked if observed.state.boot == observed.boot else {}
    denied = ((m, why(m) == "policy") for m in left)
    return life.unasked(denied, inputs.pods, since, inputs.options.terms, observed.now)
