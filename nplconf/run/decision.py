"""The whole of what a run decides, in one pure function of what it read: the cluster, the node, the settings.

`reconcile` acts on a `Decision`, `plan` prints one, `verify` holds one against the node.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nplconf.desired.addresses import matched_addresses
from nplconf.desired.render import Desired, find_node, render
from nplconf.desired.reviewed import Resolved, resolve
from nplconf.errors import BadDataError
from nplconf.model import (
    FAMILIES,
    ClusterState,
    Failure,
    Family,
    Finding,
    Holds,
    Patch,
    Pending,
    Plan,
    Pod,
    PortMapping,
    Stale,
)
from nplconf.plan import cooling
from nplconf.plan.diff import Diff, diff
from nplconf.plan.limits import Blocked, blocked, still_runs
from nplconf.plan.live import numbers
from nplconf.plan.state import State
from nplconf.publish import patches
from nplconf.rules.masquerade import masquerade_sources
from nplconf.run import reasons
from nplconf.run.observed import Observed, live_now, orphaned, previous_of, usable
from nplconf.settings import Settings

if TYPE_CHECKING:
    from nplconf.plan.policy import Policy


@dataclass(frozen=True, slots=True)
class Decision:
    """What one run is to do.

    plan: what the cluster (or the reviewed plan) asks for. admitted: its rows that may be in force: those whose number
    is held. live: what is in force. wanted: our chains as they are to be, None where a family is to have none.
    failures: rows that cannot be served, known before anything is done. kept: the state to leave behind. stale,
    pending: what differs from a reviewed plan. withheld: it differs, and was to be applied exactly or not at all.
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
    withheld: bool = False
    blocked: Blocked | None = None

    @property
    def foreign(self) -> bool:
        """The snapshot or the plan is of another cluster, so it says nothing about this node."""
        return self.blocked is not None and self.blocked.kind in ("cluster", "no-node")


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
    node = find_node(cluster, settings.node)
    if node is None:
        return _without_node(cluster, observed, settings)
    known = observed.state.cluster
    if blocked := _other_cluster(known, cluster.identity, "the cluster state"):
        return _stand_still(blocked, observed, settings)
    reviewed = bounds.plan
    if reviewed and (blocked := _other_cluster(cluster.identity or known, reviewed.cluster, "the plan")):
        return _stand_still(blocked, observed, settings)
    live = live_now(observed, settings)
    pods = tuple(pod for pod in cluster.pods if pod.node == settings.node)
    requests = Desired(settings.port_range, settings.node_ips, bounds.policy)
    if reviewed is None:
        plan = render(cluster, node, requests, previous_of(live, observed, settings))
        decision = _decision(plan, matched_addresses(node, plan.node_ips), live, pods, observed, settings)
    else:
        resolved = resolve(reviewed, cluster, node, replace(requests, policy=None), exact=bounds.exact)
        addresses = matched_addresses(node, resolved.plan.node_ips)
        decision = _decision(resolved.plan, addresses, live, pods, observed, settings)
        decision = _reviewed(decision, resolved, exact=bounds.exact)
    return replace(decision, blocked=_limit(decision, pods, observed, settings))


def _reviewed(decision: Decision, resolved: Resolved, *, exact: bool) -> Decision:
    """Add what differs from the plan; exact: where anything does, nothing is to change."""
    refused = (Failure("number", row.subject, why, refused=True) for row, why in resolved.refused)
    decision = replace(
        decision,
        diff=reasons.of_review(decision.diff, resolved),
        failures=(*decision.failures, *refused),
        stale=resolved.stale,
        pending=resolved.pending,
        withheld=exact and bool(resolved.stale or resolved.pending or resolved.refused),
    )
    if not decision.withheld:
        return decision
    return replace(decision, diff=_nothing(decision.live), patches=())


def trust(plan: Plan, observed: Observed, settings: Settings) -> Decision:
    """As `decide`, with the plan's own addresses and without a cluster: every Pod is taken to run on."""
    if blocked := _other_cluster(observed.state.cluster, plan.cluster, "the plan"):
        return _stand_still(blocked, observed, settings)
    decision = heal(plan, observed, settings, {family: (ip,) for family, ip in plan.node_ips.items()})
    return replace(decision, blocked=_limit(decision, None, observed, settings))


def heal(plan: Plan, observed: Observed, settings: Settings, addresses: Mapping[Family, tuple[str, ...]]) -> Decision:
    """As `decide`, without a cluster: the plan as it stands, nobody is told anything."""
    decision = _decision(plan, addresses, live_now(observed, settings), (), observed, settings)
    next_state = replace(decision.next_state, empty_seen=observed.state.empty_seen)
    return replace(decision, next_state=next_state)


def _other_cluster(known: str | None, found: str | None, what: str) -> Blocked | None:
    """A limit where two identities are known and differ."""
    if not known or not found or known == found:
        return None
    message = f"{what} is of another cluster ({found}) than this node's ({known}): nothing is changed"
    if what == "the cluster state":
        message += "; after nplconf cleanup the node may join it"
    return Blocked("cluster", message)


def _without_node(cluster: ClusterState, observed: Observed, settings: Settings) -> Decision:
    """A file without this node is a bad file; an API server that has no such Node is not believed."""
    message = f"the cluster state has no Node {settings.node}: it is not believed, nothing is changed"
    if not cluster.served:
        raise BadDataError(message)
    return _stand_still(Blocked("no-node", message), observed, settings)


def _stand_still(blocked: Blocked, observed: Observed, settings: Settings) -> Decision:
    """No word of this snapshot or plan is for this node; what is there stays."""
    live = live_now(observed, settings)
    return Decision(
        plan=Plan(settings.node, observed.state.cluster, settings.node_ips, settings.port_range),
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
) -> Decision:
    eligible, failures = _eligible(plan.mappings, live, observed.holds, settings)
    failures += tuple(Failure("rule", m.subject, observed.unreadable[m.family]) for m in orphaned(observed, plan))
    decision = Decision(
        plan=plan,
        eligible=eligible,
        live=live,
        diff=diff(live, eligible, why_add=reasons.coming(observed), why_delete=reasons.going(pods, plan, eligible)),
        wanted={},
        addresses=addresses,
        patches=patches.final(pods, eligible),
        findings=(),
        failures=failures,
        next_state=_kept(plan, addresses, live, pods, observed),
    )
    decision = replace(decision, wanted=rules_for(eligible, decision, observed))
    return replace(decision, findings=_findings(decision, observed))


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
        cluster=plan.cluster or state.cluster,
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


# --- what may not be -------------------------------------------------------------------------------------------------


def _limit(decision: Decision, pods: tuple[Pod, ...] | None, observed: Observed, settings: Settings) -> Blocked | None:
    """pods: this node's; None when nobody knows, as in `trust`."""
    return blocked(
        decision.live,
        [change.mapping for change in decision.diff.changes if change.action == "delete"],
        _running(decision, pods),
        max_delete=settings.max_delete,
        believe_empty=settings.allow_empty or observed.state.empty_seen,
        any_pod=pods is None or bool(pods),
    )


def restrained(decision: Decision, pods: tuple[Pod, ...] | None, observed: Observed) -> Decision:
    """What a blocked run does all the same: rules to Pods that are gone go, unless the snapshot itself is in doubt.

    pods: as for the limit.
    """
    rows = decision.live
    if decision.blocked and decision.blocked.kind == "max-delete":
        rows = tuple(m for m in rows if still_runs(m, _running(decision, pods)))
    changes = diff(decision.live, rows, why_add=lambda _: "", why_delete=lambda _: "pod-gone")
    return replace(
        decision,
        eligible=rows,
        diff=changes,
        wanted=rules_for(rows, decision, observed) if changes.changes else {},
        patches=(),
        failures=(),
        next_state=replace(observed.state, empty_seen=decision.next_state.empty_seen),
    )


def _running(decision: Decision, pods: Iterable[Pod] | None) -> frozenset[tuple[str, str]]:
    """(namespace/name, IP) of the Pods that run here; of all that have a mapping, where nobody knows."""
    if pods is None:
        return frozenset((m.pod.key, m.pod_ip) for m in decision.live)
    return frozenset((pod.ref.key, ip) for pod in pods if not pod.terminated for ip in pod.ips)
