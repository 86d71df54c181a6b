"""The whole of what a run decides, in one pure function of what it read: the cluster, the node, the settings.

`reconcile` acts on a `Decision`, `plan` prints one, `verify` holds one against the node.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nplconf.desired import node_name
from nplconf.desired.addresses import given, matched_addresses
from nplconf.desired.render import Desired, find_node, render
from nplconf.desired.reviewed import Resolved, resolve
from nplconf.errors import BadDataError
from nplconf.model import (
    FAMILIES,
    Change,
    ClusterState,
    Condition,
    Failure,
    Family,
    Finding,
    Holds,
    Node,
    Patch,
    Pending,
    Plan,
    Pod,
    PodPort,
    PodRef,
    PortMapping,
    RuleKey,
    Stale,
)
from nplconf.plan import cooling, limits
from nplconf.plan.diff import Diff, diff
from nplconf.plan.limits import Blocked, Evidence
from nplconf.plan.live import numbers
from nplconf.plan.state import State
from nplconf.publish import conditions, denials, life, patches
from nplconf.publish.annotation import DEFAULT, Form
from nplconf.rules import antrea, foreign
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.masquerade import masquerade_sources
from nplconf.run import adoption, identity, reasons, repairs
from nplconf.run.last_addresses import Addressed, addressed
from nplconf.run.observed import Observed, live_now, orphaned, previous_of, usable
from nplconf.settings import Settings

if TYPE_CHECKING:
    from nplconf.plan.policy import Policy


@dataclass(frozen=True, slots=True)
class Decision:
    """What one run is to do.

    The words for what a run may be: *blocked* is a run that a limit keeps from some or all of its changes (exit 4);
    *stale* is a row of a reviewed plan that no longer holds (exit 3), *inexact* a plan with `--exact` from which
    anything differs (exit 3, nothing is changed); *degraded* is a run in which something failed (exit 5).

    Attributes:
        plan: What the cluster (or the reviewed plan) asks for.
        eligible: The mappings that are to be in force: rows of the plan whose number is held, and those whose removal
            is blocked.
        live: The mappings that are in force.
        wanted: Our chains as they are to be, None where a family is to have none.
        failures: Rows that cannot be served, known before anything is done.
        next_state: The state for the next run.
        stale: Rows of the reviewed plan that no longer hold.
        pending: Pod ports that the reviewed plan does not have.
        warnings: What an operator must know of the snapshot.
        degraded: What of the snapshot is not used, and why.

    """

    plan: Plan
    eligible: tuple[PortMapping, ...]
    live: tuple[PortMapping, ...]
    diff: Diff
    wanted: Mapping[Family, Any] = field(hash=False)
    addresses: Mapping[Family, tuple[str, ...]] = field(hash=False)
    patches: tuple[Patch, ...]
    findings: tuple[Finding, ...]
    failures: tuple[Failure, ...]
    next_state: State
    stale: tuple[Stale, ...] = ()
    pending: tuple[Pending, ...] = ()
    inexact: bool = False
    blocked: Blocked | None = None
    warnings: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    taken: Mapping[RuleKey, ForeignRule] = field(default_factory=dict, hash=False)
    """Rows whose packets a rule of others takes first; they are in force, and are not published."""
    form: Form = DEFAULT
    """How annotations are written."""
    states: Mapping[PortMapping, life.State] = field(default_factory=dict, hash=False)
    """The states of the eligible mappings that drain, linger or wait for their Pods' containers."""
    unlisted: frozenset[PortMapping] = frozenset()
    """Eligible mappings that the annotation does not list because of their state."""
    next_end: float | None = None
    """Seconds until a lingering mapping ends, when the next run is due."""

    @property
    def removals(self) -> tuple[Change, ...]:
        """The changes that remove a mapping."""
        return tuple(change for change in self.diff.changes if change.action == "delete")

    @property
    def draining(self) -> tuple[PortMapping, ...]:
        """The mappings of deleted Pods that have not ended."""
        return tuple(m for m in self.eligible if self.states.get(m) == "draining")

    @property
    def lingering(self) -> tuple[PortMapping, ...]:
        """The mappings that nothing asks for and whose rules stay for a while."""
        return tuple(m for m in self.eligible if self.states.get(m) == "lingering")

    def listed(self, rows: tuple[PortMapping, ...]) -> tuple[PortMapping, ...]:
        """Return the rows that annotations list."""
        return tuple(m for m in rows if m not in self.unlisted) if self.unlisted else rows

    @property
    def reachable(self) -> tuple[PortMapping, ...]:
        """The eligible mappings whose packets no rule of others takes first."""
        if not self.taken:
            return self.eligible
        return tuple(m for m in self.eligible if m.via != "dnat" or m.key not in self.taken)

    def to_write(self, pods: Iterable[Pod], there: tuple[PortMapping, ...]) -> tuple[Patch, ...]:
        """Return the patches of annotations and conditions. there: the mappings that are in place."""
        known = tuple(pods)
        return patches.final(known, self.listed(there), self.form, self._conditions(known, there))

    def _conditions(self, pods: tuple[Pod, ...], there: tuple[PortMapping, ...]) -> dict[PodRef, Condition]:
        gated = {pod.ref.key: pod for pod in pods if conditions.is_due(pod)}
        if not gated:
            return {}
        rows = [m for m in self.plan.mappings if m.pod.key in gated]
        asked = {
            pod.ref: conditions.Asked(
                tuple(m for m in rows if m.pod == pod.ref),
                tuple(row for row in self.plan.skipped if row.pod == key),
                tuple(row for row in self.pending if row.pod == pod.ref),
            )
            for key, pod in gated.items()
        }
        waiting = {m for m, state in self.states.items() if state == "in-place"}
        return conditions.due(gated.values(), asked, {m for m in there if m.pod.key in gated}, waiting)

    @property
    def unusable(self) -> bool:
        """The snapshot or the plan says nothing about this node: a limit blocks the whole run."""
        return self.blocked is not None and self.blocked.whole_run


@dataclass(frozen=True, slots=True)
class Bounds:
    """What people have reviewed, and the run keeps to.

    plan: its rows and numbers are binding; exact: all of it or nothing. policy: bounds a run without a plan.
    """

    plan: Plan | None = None
    exact: bool = False
    policy: "Policy | None" = None


UNBOUND = Bounds()
"""Automatic mode, all that Services ask for."""


def decide(cluster: ClusterState, observed: Observed, settings: Settings, bounds: Bounds = UNBOUND) -> Decision:
    """Everything but the doing, from a trustworthy snapshot. Raises BadDataError for a file without this node."""
    if stopped := beside_agent(observed, settings):
        return stopped
    node = find_node(cluster, settings.node)
    if node is None:
        return _without_node(cluster, observed, settings)
    known = observed.state
    blocked = identity.other_cluster(known, cluster, node)
    if bounds.plan and not blocked:
        blocked = identity.foreign_plan(known, bounds.plan, cluster.identity)
    if blocked:
        return _block_all(blocked, observed, settings)
    used = addressed(node, known, dict(settings.node_ips), lambda: live_now(observed, settings))
    if used is None:
        return _block_all(_without_addresses(node), observed, settings)
    attempt = partial(_attempt, cluster, used, observed, settings, bounds)
    decision = attempt()
    evidence = _evidence(decision, cluster, observed, settings)
    # what lingers is withdrawn now and removed later: a limit must see it now
    leaving = (*decision.removals, *(Change("delete", "not-selected", m, m) for m in decision.lingering))
    found = limits.limit(decision.live, leaving, evidence, max_delete=settings.max_delete)
    if found:
        decision = replace(attempt(found.mappings, limits.reserved(found.mappings, decision.plan)), blocked=found)
    return replace(
        decision,
        next_state=identity.adopted(decision.next_state, cluster, node),
        warnings=tuple(filter(None, (identity.renamed(known, cluster),))),
        degraded=(used.problem,) if used.problem else (),
    )


def _attempt(
    cluster: ClusterState,
    used: Addressed,
    observed: Observed,
    settings: Settings,
    bounds: Bounds,
    stay: tuple[PortMapping, ...] = (),
    reserved: frozenset[int] = frozenset(),
) -> Decision:
    """Return what a run would do. stay: live mappings whose removal is blocked; reserved: their numbers."""
    pods = tuple(pod for pod in cluster.pods if pod.node == settings.node)
    live = live_now(observed, settings, (pod.ref for pod in pods))
    node = used.node
    requests = Desired(settings.port_range, used.overrides, bounds.policy, settings.namespace_share)
    if bounds.plan is None:
        previous = previous_of(live, observed, settings)
        previous = adoption.with_numbers(previous, observed.antrea, pods, observed.now)
        plan = render(cluster, node, requests, replace(previous, taken=previous.taken | reserved))
        rest = _unasked(plan, live, pods, observed, settings, stay)
        if in_use := limits.reserved(rest.states, plan) & {m.node_port for m in plan.mappings}:
            plan = render(cluster, node, requests, replace(previous, taken=previous.taken | reserved | in_use))
            rest = _unasked(plan, live, pods, observed, settings, stay)
        return _decision(plan, matched_addresses(node, plan.node_ips), live, pods, observed, settings, stay, rest)
    resolved = resolve(bounds.plan, cluster, node, replace(requests, policy=None), exact=bounds.exact)
    addresses = matched_addresses(node, resolved.plan.node_ips)
    rest = _unasked(resolved.plan, live, pods, observed, settings, stay)
    decision = _decision(resolved.plan, addresses, live, pods, observed, settings, stay, rest)
    return _reviewed(decision, resolved, pods, exact=bounds.exact)


def _reviewed(decision: Decision, resolved: Resolved, pods: Iterable[Pod], *, exact: bool) -> Decision:
    """Add what differs from the plan; exact: where anything does, nothing is to change."""
    refused = (Failure("number", row.subject, why, refused=True) for row, why in resolved.refused)
    decision = replace(
        decision,
        diff=reasons.of_review(decision.diff, resolved),
        failures=(*decision.failures, *refused),
        stale=resolved.stale,
        pending=resolved.pending,
        inexact=exact and bool(resolved.stale or resolved.pending or resolved.refused),
    )
    if not decision.inexact:
        return replace(decision, patches=decision.to_write(pods, decision.reachable)) if resolved.pending else decision
    return replace(decision, diff=_nothing(decision.live), patches=())


def trust(plan: Plan, observed: Observed, settings: Settings, own: Collection[str] = ()) -> Decision:
    """As `decide`, with the plan's own addresses and without a cluster: every Pod is taken to run on.

    own: the node's addresses. A row that leads to one of them fails: it would open a service of the node itself.
    """
    if stopped := beside_agent(observed, settings):
        return stopped
    if blocked := identity.foreign_plan(observed.state, plan, None):
        return _block_all(blocked, observed, settings)
    addresses = {family: (ip,) for family, ip in plan.node_ips.items()}
    inward = [row for row in plan.mappings if row.via == "dnat" and row.pod_ip in own]
    plan = replace(plan, mappings=tuple(row for row in plan.mappings if row not in inward)) if inward else plan
    decision = heal(plan, observed, settings, addresses)
    found = limits.limit(decision.live, decision.removals, Evidence(), max_delete=settings.max_delete)
    if found:
        decision = replace(heal(plan, observed, settings, addresses, found.mappings), blocked=found)
    failures = (Failure("rule", m.subject, f"{m.pod_ip} is this node's own address", refused=True) for m in inward)
    return replace(decision, failures=(*decision.failures, *failures))


def heal(
    plan: Plan,
    observed: Observed,
    settings: Settings,
    addresses: Mapping[Family, tuple[str, ...]],
    stay: tuple[PortMapping, ...] = (),
) -> Decision:
    """As `decide`, without a cluster: the plan as it is, and no annotation is written."""
    decision = _decision(plan, addresses, live_now(observed, settings), (), observed, settings, stay)
    next_state = replace(decision.next_state, empty_seen=observed.state.empty_seen)
    return replace(decision, next_state=next_state)


def _without_node(cluster: ClusterState, observed: Observed, settings: Settings) -> Decision:
    """Block a run whose cluster has no Node of this name. Raises BadDataError where the cluster is a file."""
    known = [node.name for node in cluster.nodes]
    missing = node_name.missing(settings.node, known, settings.node_origin, settings.config)
    message = f"{missing} Nothing was changed."
    if not cluster.served:
        raise BadDataError(message)
    return _block_all(Blocked("no-node", message), observed, settings)


def beside_agent(observed: Observed, settings: Settings) -> Decision | None:
    """Return the decision of a run that an Antrea agent on this node blocks; None where none lives, or with --force."""
    message = "" if settings.force else antrea.live_agent(observed.antrea)
    return _block_all(Blocked("antrea", message), observed, settings) if message else None


def _without_addresses(node: Node) -> Blocked:
    message = f"Node {node.name} has no addresses in the cluster, and mappings are live. Nothing was changed."
    return Blocked("no-address", f"{message} Wait until the Node has addresses, or set nodeIPs in the config file")


def _block_all(blocked: Blocked, observed: Observed, settings: Settings) -> Decision:
    """Return the decision of a run that a limit blocks as a whole."""
    live = live_now(observed, settings)
    return Decision(
        plan=Plan(settings.node, observed.state.cluster, given(settings.node_ips), settings.port_range),
        eligible=live,
        live=live,
        diff=_nothing(live),
        wanted={},
        addresses={},
        patches=(),
        findings=(),
        failures=(),
        next_state=observed.state,
        blocked=blocked,
    )


def _nothing(live: Iterable[PortMapping]) -> Diff:
    """The difference of a node to itself."""
    return diff(live, live, why_add=lambda _: "", why_delete=lambda _: "")


# --- what is to be ---------------------------------------------------------------------------------------------------


def _decision(
    plan: Plan,
    addresses: Mapping[Family, tuple[str, ...]],
    live: tuple[PortMapping, ...],
    pods: tuple[Pod, ...],
    observed: Observed,
    settings: Settings,
    stay: tuple[PortMapping, ...] = (),
    rest: life.Living = life.NOTHING,
) -> Decision:
    """stay: live mappings whose removal is blocked. rest: those that nothing asks for and whose rules stay."""
    eligible, failures = _eligible(plan.mappings, live, observed.holds, settings)
    denied = denials.current(_of_this_boot(observed), pods, plan.mappings, now=observed.now)
    eligible, unwritten = denials.without(eligible, denied, pods, settings.form)
    stay = (*stay, *rest.states)
    eligible, conflicts = limits.beside(eligible, stay)
    states = life.asked_for(plan.mappings, pods, settings.terms, observed.now)
    unlisted = {m for m, state in states.items() if not life.is_listed(state, settings.terms, asked=True)}
    failures += unwritten + conflicts
    failures += tuple(Failure("rule", m.subject, observed.unreadable[m.family]) for m in orphaned(observed, plan))
    taken = foreign.hits(observed.foreign, eligible, addresses)
    decision = Decision(
        plan=plan,
        eligible=eligible,
        live=live,
        diff=diff(live, eligible, why_add=lambda _: "new", why_delete=reasons.going(pods, plan, eligible)),
        wanted={},
        addresses=addresses,
        patches=(),
        findings=(),
        failures=failures,
        next_state=replace(
            _kept(_with(plan, stay), addresses, live, pods, observed), denials=denied, unasked=rest.since
        ),
        taken=taken,
        form=settings.form,
        states={**states, **rest.states},
        unlisted=frozenset((*unlisted, *rest.states)),
        next_end=life.next_end(rest.since, settings.terms, observed.now),
    )
    decision = replace(decision, patches=decision.to_write(pods, decision.reachable))
    decision = replace(decision, wanted=rules_for(eligible, decision, observed))
    return repairs.marked(replace(decision, findings=_findings(decision, observed)), observed, pods)


def _unasked(
    plan: Plan,
    live: tuple[PortMapping, ...],
    pods: tuple[Pod, ...],
    observed: Observed,
    settings: Settings,
    stay: tuple[PortMapping, ...],
) -> life.Living:
    """Return the live mappings that the plan does not have and whose rules stay. stay: they are blocked, so no part."""
    if live == plan.mappings:  # as in most runs
        return life.NOTHING
    asked = {(m.owner, m.protocol, m.family) for m in plan.mappings}
    blocked = set(stay)
    left = [m for m in live if (m.owner, m.protocol, m.family) not in asked and m.pod.name and m not in blocked]
    if not left:
        return life.NOTHING
    why = reasons.going(pods, plan, plan.mappings)
    since = observed.state.unasked if observed.state.boot == observed.boot else {}
    return life.unasked(((m, why(m) == "policy") for m in left), pods, since, settings.terms, observed.now)


def _of_this_boot(observed: Observed) -> denials.Denials:
    return observed.state.denials if observed.state.boot == observed.boot else {}


def rules_for(mappings: Iterable[PortMapping], decision: Decision, observed: Observed) -> dict[Family, Any]:
    """Return the backend's rules for these mappings, by family."""
    rows = tuple(mappings)
    return {family: rules_of_family(rows, decision, observed, family) for family in FAMILIES}


def rules_of_family(mappings: Iterable[PortMapping], decision: Decision, observed: Observed, family: Family) -> Any:
    """Return the backend's rules for one family; None where the node has no address that could be matched."""
    rows = [m for m in mappings if m.family == family and m.via == "dnat"]
    addresses = decision.addresses.get(family, ())
    if not addresses:
        return None
    sources = masquerade_sources(observed.routes, {m.pod_ip for m in rows})
    return observed.rules.build(rows, addresses, sources, decision.plan.port_range, family)


def _findings(decision: Decision, observed: Observed) -> tuple[Finding, ...]:
    """What is wrong on the node beside the mappings themselves."""
    rules, wanted = observed.rules, decision.wanted
    wrong = {family: have for family, have in observed.found.items() if rules.differs(have, wanted[family])}
    there = rules_for(decision.live, decision, observed) if wrong else {}
    found = [f for family, have in wrong.items() for f in rules.findings(have, there[family], family)]
    found += _leftovers(observed)
    found += foreign.findings(decision.taken, decision.eligible)
    found += antrea.findings(observed.antrea.chains, decision.plan.port_range)
    concerned = {m.family for m in (*decision.plan.mappings, *orphaned(observed, decision.plan)) if m.via == "dnat"}
    found += [Finding("unreadable", f, text) for f, text in observed.unreadable.items() if f in concerned]
    return tuple(found)


def _leftovers(observed: Observed) -> Iterator[Finding]:
    for other, families in observed.leftovers.items():
        message = f"rules of nplconf in {other}, beside {observed.backend} which is used; apply removes them"
        yield from (Finding("backend", family, message) for family in families)


def _eligible(
    rows: tuple[PortMapping, ...], live: Iterable[PortMapping], holds: Holds, settings: Settings
) -> tuple[tuple[PortMapping, ...], tuple[Failure, ...]]:
    """The rows whose number is held, and a failure for each other one.

    Without a daemon that holds anything nobody can say which number is safe: what is in force stays, and follows its
    Pod; nothing new is let in.
    """
    next_state = usable(holds, settings)
    before = set() if next_state else {(m.key, m.owner) for m in live}
    eligible, failures = [], []
    for row in rows:
        if row.via == "hostPort" or (row.node_port in next_state if next_state else (row.key, row.owner) in before):
            eligible.append(row)
        else:
            failures.append(Failure("hold", row.subject, _not_held(row, holds, settings), refused=bool(next_state)))
    return tuple(eligible), tuple(failures)


def _not_held(row: PortMapping, holds: Holds, settings: Settings) -> str:
    if not holds.available:
        return f"number {row.node_port} is not let in: {holds.message}"
    taken = [t for t in holds.taken if t.number == row.node_port]
    if taken:
        return f"number {row.node_port} is taken by {next((t.by for t in taken if t.by), 'an unknown process')}"
    return f"number {row.node_port} is not held: the daemon at {settings.hold_socket} holds other numbers"


def _kept(
    plan: Plan,
    addresses: Mapping[Family, tuple[str, ...]],
    live: Iterable[PortMapping],
    pods: tuple[Pod, ...],
    observed: Observed,
) -> State:
    """The state once the plan is in force. Written before the rules are: a run killed in between loses no owner."""
    state = observed.state
    used = {m.node_port for m in plan.mappings if m.via == "dnat"}
    before = (*(state.plan.mappings if state.plan else ()), *live)
    gone = numbers(m for m in before if m.node_port not in used)
    waiting = cooling.with_start_times(state.cooling, now=observed.now, rebooted=state.boot != observed.boot)
    return replace(
        state,
        boot=observed.boot,
        cluster=state.cluster or plan.cluster,
        plan=_with(plan, orphaned(observed, plan)),
        cooling=cooling.freed(gone, numbers(plan.mappings), waiting, now=observed.now),
        empty_seen=not pods,
        addresses=addresses,
    )


def _with(plan: Plan, left: tuple[PortMapping, ...]) -> Plan:
    """The plan and what could not be removed, which the next run must know of."""
    if not left:
        return plan
    return replace(plan, mappings=tuple(sorted((*plan.mappings, *left), key=lambda m: m.key)))


# --- limits ----------------------------------------------------------------------------------------------------------


def _evidence(decision: Decision, cluster: ClusterState, observed: Observed, settings: Settings) -> Evidence:
    pods = [pod for pod in cluster.pods if pod.node == settings.node]
    return Evidence(
        running={(pod.ref.key, ip) for pod in pods if not pod.terminated for ip in pod.ips},
        services={service.key for service in cluster.services},
        not_reviewed={(PodPort(p.pod.key, p.pod_port), p.protocol) for p in decision.pending},
        any_pod=bool(pods),
        accept_empty=settings.allow_empty or observed.state.empty_seen,
    )
