"""The runs: the only place where reads, pure decisions and writes are put together.

A run reads the cluster and the node, decides (`decide`), and carries the decision out (`act`).
"""

from dataclasses import replace
from typing import NamedTuple

from nplconf.cache import Cache
from nplconf.cluster import Cluster
from nplconf.errors import BadConfigError, NplconfError, PermissionDeniedError, UnavailableError
from nplconf.model import ClusterState, Plan, Pod, PortMapping, RuleKey
from nplconf.node import NodeAccess
from nplconf.run.act import act
from nplconf.run.blocked import beside_agent
from nplconf.run.decide import decide, heal, trust
from nplconf.run.decision import UNBOUND, Bounds, Decision
from nplconf.run.events import Outcome, create_events
from nplconf.run.observed import Observed, live_now
from nplconf.run.outcome import Result
from nplconf.settings import Settings

# --- reading ---------------------------------------------------------------------------------------------------------


def observe(node: NodeAccess) -> Observed:
    """Read the node once. Raises UnavailableError if no family can be read; a single one that cannot is data."""
    reading = node.read()
    if not reading.found:
        raise UnavailableError("; ".join(dict.fromkeys(reading.unreadable.values())))
    return Observed(
        loaded=node.load(),
        boot=node.boot,
        now=node.now(),
        backend=node.backend,
        rules=node.rules,
        found=reading.found,
        unreadable=reading.unreadable,
        leftovers=node.leftovers(),
        holds=node.holds(),
        routes=node.routes(),
        foreign=node.foreign(reading.found),
        antrea=node.antrea(),
    )


class Review(NamedTuple):
    """The actions that `apply` would take now.

    Attributes:
        decision: What it would do.
        observed: The node as it was read.
        pods: This node's Pods; None where no cluster was read.
        cluster: The snapshot; None where no cluster was read.

    """

    decision: Decision
    observed: Observed
    pods: tuple[Pod, ...] | None = None
    cluster: ClusterState | None = None


def review(cluster: Cluster, node: NodeAccess, settings: Settings, bounds: Bounds = UNBOUND) -> Review:
    """Read the cluster and the node, and decide. Change nothing."""
    snapshot = cluster.snapshot(settings.node)
    observed = observe(node)
    pods = snapshot.on(settings.node)
    decision = decide(snapshot, observed, settings, bounds, writable=cluster.writable)
    return Review(decision, observed, pods, snapshot)


def review_plan(node: NodeAccess, settings: Settings, plan: Plan) -> Review:
    """Read the node and decide by the addresses of a plan, without a cluster. Change nothing."""
    observed = observe(node)
    return Review(trust(plan, observed, settings, node.addresses()), observed)


# --- the runs --------------------------------------------------------------------------------------------------------


def apply(
    cluster: Cluster, node: NodeAccess, settings: Settings, bounds: Bounds = UNBOUND, cache: Cache | None = None
) -> Result:
    """Make one run against a cluster. The caller holds the lock, so that two runs do not undo each other.

    If the cluster has no valid response, the node is brought back to the last good plan of this boot.

    Args:
        cluster: The cluster.
        node: The node.
        settings: The settings.
        bounds: A reviewed plan, or a policy.
        cache: Results of earlier runs of this process.

    Raises:
        BadConfigError: The configuration is wrong. The node is brought back before.
        UnavailableError: The cluster cannot be read, and there is no good plan of this boot.
        PermissionDeniedError: The same for a cluster that denies access.

    """
    try:
        snapshot = cluster.snapshot(settings.node)
    except BadConfigError as err:
        heal_to_last(node, settings, str(err))
        raise
    except (UnavailableError, PermissionDeniedError) as err:
        healed = heal_to_last(node, settings, str(err))
        if healed is None:
            raise
        return healed
    observed = observe(node)
    decision = decide(snapshot, observed, settings, bounds, writable=cluster.writable, cache=cache)
    result = _carry_out(decision, observed, cluster, node, snapshot)
    if snapshot.served and result.annotations is not None and result.next_state and not settings.no_events:
        # after a run that was killed nobody knows who wrote an annotation
        last = None if observed.state.writing else observed.state.plan
        create_events(Outcome(decision.plan, snapshot, result.annotations), cluster, node, result.next_state, last)
    return result


def _carry_out(
    decision: Decision, observed: Observed, cluster: Cluster, node: NodeAccess, snapshot: ClusterState
) -> Result:
    if decision.inexact or decision.unusable:
        return Result(decision, failures=decision.failures)
    return act(decision, observed, cluster, node, snapshot.on(decision.plan.node))


def keep_last(cluster: Cluster, node: NodeAccess, settings: Settings, why: str) -> Result | None:
    """Make one run whose plan or policy cannot be read: the last good plan of this boot counts as a reviewed plan.

    So Pods that are gone lose their mappings, and Pods that come back are served. Without a response of the cluster it
    does the same as `heal_to_last`.

    Args:
        cluster: The cluster.
        node: The node.
        settings: The settings.
        why: Why the plan or policy cannot be read.

    Returns:
        The result; None if there is no good plan of this boot.

    """
    observed = observe(node)
    if observed.remembered is None:
        return heal_to_last(node, settings, why)
    try:
        snapshot = cluster.snapshot(settings.node)
        bounds = Bounds(observed.remembered)
        decision = decide(snapshot, observed, settings, bounds, writable=cluster.writable, keep_state=True)
    except NplconfError:
        return heal_to_last(node, settings, why)
    result = _carry_out(decision, observed, cluster, node, snapshot)
    return replace(result, degraded=(f"{why}; the node is kept at the last good plan", *result.degraded))


def apply_plan(node: NodeAccess, settings: Settings, plan: Plan) -> Result:
    """Make one run that trusts the addresses of a plan, and annotates no Pod."""
    decision, observed, *_ = review_plan(node, settings, plan)
    if decision.unusable:
        return Result(decision)
    return act(decision, observed, None, node, ())


def heal_to_last(node: NodeAccess, settings: Settings, why: str) -> Result | None:
    """Bring the node back to the last good plan of this boot, without a cluster. why: the reason, for a message.

    Returns:
        The result; None if there is no such plan.

    """
    observed = observe(node)
    if stopped := beside_agent(observed, settings):
        return Result(stopped)
    plan = observed.remembered
    if plan is None:
        return _remove_of_other_boot(observed, node, settings, why)
    decision = heal(plan, observed, settings, observed.state.addresses, keep_state=True)
    result = act(decision, observed, None, node, ())
    return replace(result, degraded=(f"{why}; the node is kept at the last good plan", *result.degraded))


def _remove_of_other_boot(observed: Observed, node: NodeAccess, settings: Settings, why: str) -> Result | None:
    """Remove rules that another tool saved and restored at boot: other Pods may have their addresses now.

    Return None if there are no rules, or if the state file does not say of which boot they are.
    """
    if not observed.state.boot or observed.state.boot == observed.boot or not live_now(observed, settings):
        return None
    nothing = Plan(settings.node, observed.state.cluster, {}, settings.port_range)
    decision = heal(nothing, observed, settings, {}, keep_state=True, why_delete="other-boot")
    result = act(decision, observed, None, node, ())
    return replace(result, degraded=(f"{why}; the rules of before the reboot are removed", *result.degraded))


# --- looking ---------------------------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """The live mappings.

    Attributes:
        mappings: The mappings, with the hostPort ones of the last plan.
        aliases: The rules that are aliases from Antrea.
        warnings: What could not be read.

    """

    mappings: tuple[PortMapping, ...]
    aliases: frozenset[RuleKey]
    warnings: tuple[str, ...]


def show(node: NodeAccess, settings: Settings) -> Shown:
    """Return the live mappings. No cluster is read."""
    observed = observe(node)
    remembered = observed.remembered
    advertised = tuple(m for m in remembered.mappings if m.via == "hostPort") if remembered else ()
    found = sorted((*live_now(observed, settings), *advertised), key=lambda m: (m.key, m.pod))
    warnings = (observed.loaded.warning, *(f"{f}: {text}" for f, text in observed.unreadable.items()))
    aliases = frozenset(alias.key for alias in observed.state.aliases)
    return Shown(tuple(found), aliases, tuple(filter(None, warnings)))
