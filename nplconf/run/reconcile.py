"""The only place where reads, pure decisions and writes are put together.

One run: read the cluster and the node, decide; keep the state; withdraw what goes; write the rules; forget stale flows;
read again; publish what is seen in place. Every step can be done twice; a failure of one mapping or Pod stops no other.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from nplconf.cluster import Cluster
from nplconf.deadline import current
from nplconf.errors import BadConfigError, NplconfError, PermissionDeniedError, UnavailableError
from nplconf.model import Backend, Change, ClusterState, Failure, Family, Plan, Pod, PortMapping
from nplconf.node import Node
from nplconf.plan.state import State
from nplconf.publish import denials, patches
from nplconf.rules import Goal
from nplconf.run import outcome, reasons
from nplconf.run.decision import (
    UNBOUND,
    Bounds,
    Decision,
    beside_agent,
    decide,
    heal,
    rules_for,
    rules_of_family,
    trust,
)
from nplconf.run.events import Outcome, tell
from nplconf.run.observed import Observed, held, live_now
from nplconf.run.outcome import Result
from nplconf.settings import Settings

# --- reading ---------------------------------------------------------------------------------------------------------


def observe(node: Node) -> Observed:
    """Read the node once. A family that cannot be read is data; raises UnavailableError when none can."""
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
    """What `apply` would do now, and what that was decided from. pods: this node's; None where no cluster was asked."""

    decision: Decision
    observed: Observed
    pods: tuple[Pod, ...] | None = None
    cluster: ClusterState | None = None


def review(cluster: Cluster, node: Node, settings: Settings, bounds: Bounds = UNBOUND) -> Review:
    """Read both worlds and decide; nothing is changed."""
    snapshot = cluster.snapshot(settings.node)
    observed = observe(node)
    pods = tuple(pod for pod in snapshot.pods if pod.node == settings.node)
    return Review(decide(snapshot, observed, settings, bounds), observed, pods, snapshot)


def review_plan(node: Node, settings: Settings, plan: Plan) -> Review:
    """As `review`, with the plan's own addresses and without any cluster."""
    observed = observe(node)
    return Review(trust(plan, observed, settings, node.addresses()), observed)


# --- the runs --------------------------------------------------------------------------------------------------------


def apply(cluster: Cluster, node: Node, settings: Settings, bounds: Bounds = UNBOUND) -> Result:
    """One run against a cluster; the caller holds the lock, so that two runs do not undo each other.

    Without a trustworthy answer of the cluster the node is healed to the last good plan of this boot; where there is
    none, and where it is the configuration that must be mended, the error goes on to the caller.
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
    decision = decide(snapshot, observed, settings, bounds)
    result = _carry_out(decision, observed, cluster, node, snapshot)
    if snapshot.served and result.told is not None and not settings.no_events:  # a file has no Events
        tell(
            Outcome(result.decision.plan, snapshot, result.told),
            cluster,
            node,
            result.decision.next_state,
            # of what a run did that was cut off nobody knows who did it
            None if observed.state.writing else observed.state.plan,
        )
    return result


def _carry_out(decision: Decision, observed: Observed, cluster: Cluster, node: Node, snapshot: ClusterState) -> Result:
    if decision.inexact or decision.unusable:
        return Result(decision, failures=decision.failures)
    pods = tuple(pod for pod in snapshot.pods if pod.node == decision.plan.node)
    return act(decision, observed, cluster, node, pods)


def keep_last(cluster: Cluster, node: Node, settings: Settings, why: str) -> Result | None:
    """What a run does whose plan or policy cannot be read: the last good plan of this boot counts on as a reviewed one.

    So Pods that are gone are let go, and those that come back are served. Without an answer of the cluster as
    `heal_to_last`; None when there is no such plan.
    """
    observed = observe(node)
    if observed.remembered is None:
        return heal_to_last(node, settings, why)
    try:
        snapshot = cluster.snapshot(settings.node)
        decision = decide(snapshot, observed, settings, Bounds(observed.remembered))
    except NplconfError:
        return heal_to_last(node, settings, why)
    result = _carry_out(replace(decision, next_state=observed.state), observed, cluster, node, snapshot)
    return replace(result, degraded=(f"{why}; the node is kept at the last good plan", *result.degraded))


def apply_plan(node: Node, settings: Settings, plan: Plan) -> Result:
    """One run that trusts a plan's addresses and tells no Pod."""
    decision, observed, *_ = review_plan(node, settings, plan)
    if decision.unusable:
        return Result(decision)
    return act(decision, observed, None, node, ())


def heal_to_last(node: Node, settings: Settings, why: str) -> Result | None:
    """Bring the node back to the last good plan of this boot; None when there is none. Nothing comes from a cluster."""
    observed = observe(node)
    if stopped := beside_agent(observed, settings):
        return Result(stopped)
    plan = observed.remembered
    if plan is None:
        return _remove_of_other_boot(observed, node, settings, why)
    decision = replace(heal(plan, observed, settings, observed.state.addresses), next_state=observed.state)
    result = act(decision, observed, None, node, ())
    return replace(result, degraded=(f"{why}; the node is kept at the last good plan", *result.degraded))


def _remove_of_other_boot(observed: Observed, node: Node, settings: Settings, why: str) -> Result | None:
    """Remove rules that another tool saved and restored at boot: the IPs of their Pods may belong to others now.

    None where there are no rules, or where nobody knows of which boot they are.
    """
    if not observed.state.boot or observed.state.boot == observed.boot or not live_now(observed, settings):
        return None
    nothing = Plan(settings.node, observed.state.cluster, {}, settings.port_range)
    decision = heal(nothing, observed, settings, {})
    changes = tuple(replace(change, reason="other-boot") for change in decision.diff.changes)
    decision = replace(decision, diff=replace(decision.diff, changes=changes), next_state=observed.state)
    result = act(decision, observed, None, node, ())
    return replace(result, degraded=(f"{why}; the rules of before the reboot are removed", *result.degraded))


def act(decision: Decision, observed: Observed, cluster: Cluster | None, node: Node, pods: Sequence[Pod]) -> Result:
    """Carry a decision out, in the order that never points anybody at what is not there."""
    failures = list(decision.failures)
    degraded = [*decision.degraded, *_unheld(decision, observed)]
    before = pods
    passing = _passing(decision) if cluster else ()
    goal = _beside(passing, decision, observed)
    writes = _to_write(goal, observed)
    refused: tuple[Failure, ...] = ()
    current().step()
    text, problems = keep(node, replace(decision.next_state, writing=bool(writes or passing)), observed.loaded.text)
    if writes and cluster:
        pods, refused = _withdraw(decision, cluster, pods, passing)
        failures += refused
    current().step()
    seen, unwritten = _write(goal, observed, node, writes)
    failures += unwritten
    if writes or observed.state.writing:
        everything = observed.state.writing
        failures += node.flush_flows(
            decision.diff.changes, decision.eligible, decision.addresses, everything=everything
        )
    replaced = _replaced(observed, unwritten)
    if replaced:
        failures += node.clear_leftovers(replaced)
    in_place = outcome.in_place(replace(decision, wanted=goal.wanted), seen, observed, pods)
    gone: frozenset[PortMapping] = frozenset()
    same = in_place == decision.eligible and pods is before
    published = decision.patches if same else decision.to_write(pods, in_place)
    late: frozenset[str] = frozenset()
    current().step()
    if cluster and published:
        refused = cluster.patch(published)
        failures += refused
        late = frozenset(failure.subject for failure in refused)
        gone = outcome.unpublished(decision.listed(in_place), refused, pods, decision.form)
        in_place = tuple(m for m in in_place if m not in gone) if gone else in_place
    if gone or passing:
        # an annotation that could not be written still names the old number
        rest = _beside([m for m in passing if m.pod.key in late], decision, observed)
        left = frozenset(m for m in passing if m.pod.key not in late)
        seen, unwritten = _take_back(gone | left, rest, replace(observed, found=seen), node)
        failures += unwritten
        writes = tuple(dict.fromkeys((*writes, *(m.family for m in left))))
    written = published if pods is before else decision.to_write(before, in_place)
    told = outcome.told(before, written, failures) if cluster else None
    denied = denials.added(
        decision.next_state.denials,
        [failure for failure in refused if failure.subject in {m.pod.key for m in gone}],
        before,
        decision.plan.mappings,
        now=observed.now,
    )
    final = outcome.next_state(decision, in_place, told if cluster and cluster.writable else None)
    final = replace(final, denials=denied)
    if writes or final != decision.next_state:
        problems += keep(node, final, text)[1]
    failures += outcome.absent(decision, (*in_place, *gone), failures, observed)
    done = outcome.done(decision, seen, writes, observed.rules, in_place, failures)
    return Result(
        decision=replace(decision, next_state=final),
        done=done,
        in_place=in_place,
        patches=written,
        failures=tuple(outcome.named(decision, done, writes, failures)),
        degraded=(*degraded, *dict.fromkeys(problems)),
        warnings=(*decision.warnings, *_warnings(observed, replaced)),
        told=told if not problems else None,
    )


# --- the steps -------------------------------------------------------------------------------------------------------


def _unheld(decision: Decision, observed: Observed) -> list[str]:
    """Why no number can be let in at all, where that is so."""
    if not observed.holds.available:
        return [observed.holds.message]
    ports = decision.plan.port_range
    if held(observed.holds).isdisjoint(range(ports.first, ports.last + 1)):
        return [f"none of the node ports {ports} is held: nothing new is let in"]
    return []


def _to_write(decision: Decision, observed: Observed) -> tuple[Family, ...]:
    """The families whose chains are not as they are to be; of a run that is held back wholly, none."""
    return tuple(
        family
        for family, have in observed.found.items()
        if family in decision.wanted and observed.rules.differs(have, decision.wanted[family])
    )


def keep(node: Node, state: State, before: str) -> tuple[str, tuple[str, ...]]:
    """Leave a state to the next run; its text, and why it could not be left."""
    try:
        return node.save(state, before), ()
    except OSError as err:
        reason = err.strerror or str(err)
        return before, (f"the state file cannot be written ({reason}): the node is brought in order without it",)


def _passing(decision: Decision) -> tuple[PortMapping, ...]:
    """Return the mappings at their old numbers whose rules stay until the new number is published.

    Another mapping may get the old number in the same run; then the old rule cannot stay.
    """
    moves = [change.was for change in decision.diff.changes if change.was and _is_move(change, change.was)]
    if not moves:
        return ()
    wanted = {m.key for m in decision.eligible}
    targets = {(m.pod, m.pod_ip, m.pod_port) for m in decision.eligible}
    return tuple(was for was in moves if was.key not in wanted and (was.pod, was.pod_ip, was.pod_port) in targets)


def _is_move(change: Change, was: PortMapping) -> bool:
    """Whether a mapping leads to the same port of the same Pod at another number now."""
    return change.reason == reasons.DOUBLED if change.action == "delete" else was.key != change.mapping.key


def _beside(rows: Collection[PortMapping], decision: Decision, observed: Observed) -> Decision:
    """Return a decision with the rules of further mappings."""
    if not rows:
        return decision
    eligible = tuple(sorted((*decision.eligible, *rows), key=lambda m: (m.key, m.pod, m.pod_port)))
    return replace(decision, eligible=eligible, wanted=rules_for(eligible, decision, observed))


def _withdraw(
    decision: Decision, cluster: Cluster, pods: Sequence[Pod], passing: Collection[PortMapping]
) -> tuple[Sequence[Pod], tuple[Failure, ...]]:
    """Withdraw the entries that are about to go, without those that a new number replaces in this run.

    Returns the Pods as they are then, and the patches that failed. A failed one does not keep a rule.
    """
    # only a Pod that is to be told something else can have something to take back
    concerned = {patch.pod for patch in decision.patches}
    mappings = [m for m in (*decision.listed(decision.eligible), *passing) if m.pod in concerned]
    gone = patches.withdrawals([pod for pod in pods if pod.ref in concerned], mappings, decision.form)
    if not gone:
        return pods, ()
    refused = cluster.patch(gone)
    failed = {failure.subject for failure in refused}
    written = {patch.pod: patch.annotation for patch in gone if patch.pod.key not in failed}
    now = tuple(replace(pod, annotation=written[pod.ref]) if pod.ref in written else pod for pod in pods)
    return now, refused


def _write(
    decision: Decision, observed: Observed, node: Node, families: Collection[Family]
) -> tuple[dict[Family, Any], list[Failure]]:
    """Bring each family in order; the tables as they were seen last, and what the kernel would not take."""
    rows = [m for m in decision.eligible if m.via == "dnat" and m.family in families]
    if not families:
        return dict(observed.found), []
    changed = {
        change.mapping.key
        for change in decision.diff.changes
        if change.action != "delete" and change.was != change.mapping
    }
    every = Counter(mapping.family for mapping in rows)

    def build(family: Family, mappings: Sequence[PortMapping]) -> Any:
        if len(mappings) == every[family]:  # all of them, in whatever order: these rules are built already
            return decision.wanted[family]
        return rules_of_family(mappings, decision, observed, family)

    keep, add = [m for m in rows if m.key not in changed], [m for m in rows if m.key in changed]
    synced = node.sync(Goal({family: observed.found[family] for family in families}, build, keep, add))
    failures = [Failure("rule", row.subject, message, refused=True) for row, message in synced.refused]
    failures += (Failure("rule", family, message) for family, message in synced.errors)
    return {**observed.found, **synced.found}, failures


def _take_back(
    gone: frozenset[PortMapping], decision: Decision, observed: Observed, node: Node
) -> tuple[dict[Family, Any], list[Failure]]:
    """Remove rules that were just made; every run tries anew, so no wish of the cluster is forgotten."""
    eligible = tuple(m for m in decision.eligible if m not in gone)
    diff = replace(decision.diff, changes=())
    less = replace(decision, eligible=eligible, diff=diff, wanted=rules_for(eligible, decision, observed))
    seen, failures = _write(less, observed, node, _to_write(less, observed))
    changes = [Change("delete", "refused", mapping, mapping) for mapping in gone]
    return seen, [*failures, *node.flush_flows(changes, eligible, decision.addresses, everything=False)]


def _replaced(observed: Observed, unwritten: Iterable[Failure]) -> dict[Backend, tuple[Family, ...]]:
    """The rules of other backends that may go: those of the families in which the backend in use has its own."""
    stuck = {*observed.unreadable, *(failure.subject for failure in unwritten)}
    left = {name: tuple(f for f in families if f not in stuck) for name, families in observed.leftovers.items()}
    return {name: families for name, families in left.items() if families}


def _warnings(observed: Observed, replaced: Mapping[Backend, Sequence[Family]]) -> tuple[str, ...]:
    places = ((name, family) for name, families in replaced.items() for family in families)
    removed = (f"the rules of nplconf in {name} ({family}) are removed" for name, family in places)
    return tuple(filter(None, (observed.loaded.warning, *removed)))


# --- looking ---------------------------------------------------------------------------------------------------------


def show(node: Node, settings: Settings) -> tuple[tuple[PortMapping, ...], tuple[str, ...]]:
    """The live mappings, hostPort ones of the last plan among them; and what could not be read."""
    observed = observe(node)
    remembered = observed.remembered
    advertised = tuple(m for m in remembered.mappings if m.via == "hostPort") if remembered else ()
    found = sorted((*live_now(observed, settings), *advertised), key=lambda m: (m.key, m.pod))
    warnings = (observed.loaded.warning, *(f"{f}: {text}" for f, text in observed.unreadable.items()))
    return tuple(found), tuple(filter(None, warnings))
