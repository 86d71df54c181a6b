"""The whole of what a run decides, in one pure function of what it read: the cluster, the node, the settings.

`reconcile` acts on a `Decision`, `plan` prints one, `verify` holds one against the node.
"""

from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field, replace

from nplconf.desired.addresses import matched_addresses
from nplconf.desired.render import Desired, find_node, render
from nplconf.desired.reviewed import resolve
from nplconf.errors import BadDataError, BlockedError
from nplconf.model import (
    FAMILIES,
    Backend,
    ClusterState,
    Cooling,
    Failure,
    Family,
    Finding,
    Holds,
    Mapping,
    Past,
    Patch,
    Pending,
    Plan,
    Pod,
    PodPort,
    Stale,
)
from nplconf.plan import cooling
from nplconf.plan.diff import Diff, diff
from nplconf.plan.limits import Blocked, blocked, still_runs
from nplconf.plan.live import live_mappings, numbers
from nplconf.plan.state import Loaded, State
from nplconf.publish import patches
from nplconf.rules import tree
from nplconf.rules.masquerade import Routes, neighbourhoods
from nplconf.rules.table import Table
from nplconf.settings import Settings


@dataclass(frozen=True, slots=True)
class Observed:
    """The node as it was read. now: boot-time clock, seconds. unreadable: why a family's rules could not be read.

    leftovers: families with rules of ours in the backend that is not used.
    """

    loaded: Loaded
    boot: str
    now: float
    backend: Backend
    tables: MappingOf[Family, Table] = field(hash=False)
    unreadable: MappingOf[Family, str] = field(hash=False)
    leftovers: tuple[Family, ...]
    holds: Holds
    routes: Routes

    @property
    def state(self) -> State:
        """What the last run left."""
        return self.loaded.state

    @property
    def remembered(self) -> Plan | None:
        """The last good plan, when it is of this boot: after a reboot Pods have other addresses."""
        return self.state.plan if self.state.boot == self.boot else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What one run is to do.

    plan: what the cluster (or the reviewed plan) asks for. admitted: its rows that may be in force: those whose number
    is held. live: what is in force. wanted: our chains as they are to be, None where a family is to have none.
    failures: rows that cannot be served, known before anything is done. kept: the state to leave behind. stale,
    pending: what differs from a reviewed plan. withheld: it differs, and was to be applied exactly or not at all.
    """

    plan: Plan
    admitted: tuple[Mapping, ...]
    live: tuple[Mapping, ...]
    diff: Diff
    wanted: MappingOf[Family, Table | None] = field(hash=False)
    addresses: MappingOf[Family, tuple[str, ...]] = field(hash=False)
    patches: tuple[Patch, ...]
    findings: tuple[Finding, ...]
    failures: tuple[Failure, ...]
    kept: State
    stale: tuple[Stale, ...] = ()
    pending: tuple[Pending, ...] = ()
    withheld: bool = False
    blocked: Blocked | None = None


def decide(
    cluster: ClusterState, observed: Observed, settings: Settings, reviewed: Plan | None = None, *, exact: bool = False
) -> Decision:
    """Everything but the doing, from a trustworthy snapshot.

    reviewed: a plan whose rows and numbers are binding. Raises BlockedError for another cluster's state; for one
    without this node too where an API server says so, BadDataError where a file does.
    """
    node = find_node(cluster, settings.node)
    if node is None:
        error = BlockedError if cluster.served else BadDataError
        raise error(f"the cluster state has no Node {settings.node}: it is not believed, nothing is changed")
    same_cluster(observed.state.cluster, cluster.identity, "the cluster state")
    live = live_now(observed, settings)
    pods = tuple(pod for pod in cluster.pods if pod.node == settings.node)
    wishes = Desired(settings.port_range, settings.node_ips)
    if reviewed is None:
        plan = render(cluster, node, wishes, past_of(live, observed, settings))
        decision = _decision(plan, matched_addresses(node, plan.node_ips), live, pods, observed, settings)
    else:
        same_cluster(cluster.identity or observed.state.cluster, reviewed.cluster, "the plan")
        resolved = resolve(reviewed, cluster, node, wishes, exact=exact)
        plan = resolved.plan
        decision = _decision(plan, matched_addresses(node, plan.node_ips), live, pods, observed, settings)
        decision = replace(
            decision,
            failures=(*decision.failures, *resolved.failures),
            stale=resolved.stale,
            pending=resolved.pending,
            withheld=exact and bool(resolved.stale or resolved.pending),
        )
    return replace(decision, blocked=_limit(decision, pods, observed, settings))


def heal(plan: Plan, observed: Observed, settings: Settings, addresses: MappingOf[Family, tuple[str, ...]]) -> Decision:
    """As `decide`, without a cluster: the plan as it stands, nobody is told anything."""
    decision = _decision(plan, addresses, live_now(observed, settings), (), observed, settings)
    kept = replace(decision.kept, empty_seen=observed.state.empty_seen)
    return replace(decision, patches=(), kept=kept)


def same_cluster(known: str | None, found: str | None, what: str) -> None:
    """Raises BlockedError where two identities are known and differ."""
    if known and found and known != found:
        raise BlockedError(f"{what} is of another cluster ({found}) than this node's ({known}): nothing is changed")


# --- what is there ---------------------------------------------------------------------------------------------------


def live_now(observed: Observed, settings: Settings) -> tuple[Mapping, ...]:
    """The mappings that the kernel has, completed from the state file."""
    rules = [rule for family, table in observed.tables.items() for rule in tree.live(table, family)]
    known = observed.state.plan.mappings if observed.state.plan else ()
    advertised = observed.state.plan.node_ips if observed.state.plan else settings.node_ips
    return live_mappings(rules, known, advertised)


def past_of(live: Iterable[Mapping], observed: Observed, settings: Settings) -> Past:
    """What allocation is to know: live rules are trusted first, then the last plan, then who had a number before."""
    of_rules = numbers(live)
    of_plan = numbers(observed.state.plan.mappings) if observed.state.plan else {}
    of_before = {c.owner: c.number for c in observed.state.cooling}
    waiting = cooling.current(
        observed.state.cooling,
        now=observed.now,
        period=settings.cool_down,
        rebooted=observed.state.boot != observed.boot,
    )
    # A number in use is its owner's until this run ends: nobody else may have it in the same breath.
    used = {number: Cooling(number, owner, observed.now) for owner, number in (of_plan | of_rules).items()}
    reserved = {c.number: c for c in waiting} | (used if settings.cool_down else {})
    return Past((of_rules, of_plan, of_before), _taken(observed.holds, settings), tuple(reserved.values()))


def held(holds: Holds) -> frozenset[int]:
    """The numbers that are held for every protocol."""
    found = {number for span in holds.ranges for number in range(span.first, span.last + 1)}
    return frozenset(found.difference(taken.number for taken in holds.taken))


def _taken(holds: Holds, settings: Settings) -> frozenset[int]:
    kept = held(holds)
    if not kept:  # nothing is let in at all then, so nothing is to move either
        return frozenset()
    return frozenset(range(settings.port_range.first, settings.port_range.last + 1)) - kept


# --- what is to be ---------------------------------------------------------------------------------------------------


def _decision(
    plan: Plan,
    addresses: MappingOf[Family, tuple[str, ...]],
    live: tuple[Mapping, ...],
    pods: tuple[Pod, ...],
    observed: Observed,
    settings: Settings,
) -> Decision:
    admitted, failures = _admit(plan.mappings, live, observed.holds, settings)
    decision = Decision(
        plan=plan,
        admitted=admitted,
        live=live,
        diff=diff(live, admitted, why_add=_why_add(observed), why_delete=_why_delete(pods, plan)),
        wanted={},
        addresses=addresses,
        patches=patches.final(pods, admitted),
        findings=(),
        failures=failures,
        kept=_kept(plan, addresses, live, pods, observed),
    )
    decision = replace(decision, wanted=tables(admitted, decision, observed.routes))
    return replace(decision, findings=_findings(decision, observed))


def tables(mappings: Iterable[Mapping], decision: Decision, routes: Routes) -> dict[Family, Table | None]:
    """Our chains for these mappings."""
    rows = tuple(mappings)
    return {family: table_of(rows, decision, routes, family) for family in FAMILIES}


def table_of(mappings: Iterable[Mapping], decision: Decision, routes: Routes, family: Family) -> Table | None:
    """One family's chains; None where the node has no address that could be matched."""
    rows = [m for m in mappings if m.family == family and m.via == "dnat"]
    addresses = decision.addresses.get(family, ())
    if not addresses:
        return None
    places = neighbourhoods(routes, {m.pod_ip for m in rows})
    return tree.table(rows, addresses, places, decision.plan.port_range, family)


def _findings(decision: Decision, observed: Observed) -> tuple[Finding, ...]:
    """What is wrong on the node beside the mappings themselves."""
    wrong = {family: table for family, table in observed.tables.items() if tree.differs(table, decision.wanted[family])}
    there = tables(decision.live, decision, observed.routes) if wrong else {}
    found = [f for family, table in wrong.items() for f in tree.findings(table, there[family], family)]
    other = "legacy" if observed.backend == "nft" else "nft"
    message = f"rules of ours in iptables-{other}, beside iptables-{observed.backend} which is used; apply removes them"
    found += [Finding("backend", family, message) for family in observed.leftovers]
    concerned = {m.family for m in decision.plan.mappings if m.via == "dnat"}
    found += [Finding("unreadable", f, text) for f, text in observed.unreadable.items() if f in concerned]
    return tuple(found)


def _admit(
    rows: tuple[Mapping, ...], live: Iterable[Mapping], holds: Holds, settings: Settings
) -> tuple[tuple[Mapping, ...], tuple[Failure, ...]]:
    """The rows whose number is held, and a failure for each other one.

    Without a daemon that holds anything nobody can say which number is safe: what is in force stays, and follows its
    Pod; nothing new is let in.
    """
    kept = held(holds)
    before = {(m.key, m.owner) for m in live}
    admitted, failures = [], []
    for row in rows:
        if row.via == "hostPort" or (row.node_port in kept if kept else (row.key, row.owner) in before):
            admitted.append(row)
        else:
            failures.append(Failure("hold", subject(row), _not_held(row, holds, settings)))
    return tuple(admitted), tuple(failures)


def _not_held(row: Mapping, holds: Holds, settings: Settings) -> str:
    if not holds.available:
        return f"number {row.node_port} is not let in: {holds.message}"
    taken = [t for t in holds.taken if t.number == row.node_port]
    if taken:
        return f"number {row.node_port} is taken by {next((t.by for t in taken if t.by), 'an unknown process')}"
    return f"number {row.node_port} is not held: the daemon at {settings.hold_socket} holds other numbers"


def subject(mapping: Mapping) -> str:
    """A mapping's name in messages: tcp/61044 (on IPv6: tcp6/61044) and whose it is."""
    family = "" if mapping.family == "IPv4" else "6"
    return f"{mapping.protocol}{family}/{mapping.node_port} {mapping.pod.key}:{mapping.pod_port}"


def _why_add(observed: Observed) -> Callable[[Mapping], str]:
    remembered = observed.remembered
    before = {(m.key, m.owner) for m in remembered.mappings} if remembered else set()
    return lambda mapping: "rule-missing" if (mapping.key, mapping.owner) in before else "new"


def _why_delete(pods: Iterable[Pod], plan: Plan) -> Callable[[Mapping], str]:
    by_name = {pod.ref.key: pod for pod in pods}
    skipped = {(row.pod, row.pod_port): row.reason for row in plan.skipped}

    def why(mapping: Mapping) -> str:
        pod = by_name.get(mapping.pod.key)
        if not mapping.pod.name:
            return "owner-unknown"
        if pod is None:
            return "pod-gone"
        if pod.terminated:
            return "pod-terminated"
        return skipped.get((mapping.pod.key, mapping.pod_port), "not-selected")

    return why


def _kept(
    plan: Plan,
    addresses: MappingOf[Family, tuple[str, ...]],
    live: Iterable[Mapping],
    pods: tuple[Pod, ...],
    observed: Observed,
) -> State:
    """The state once the plan is in force. Written before the rules are: a run killed in between loses no owner."""
    state = observed.state
    before: dict[PodPort, int] = numbers(state.plan.mappings) if state.plan else {}
    waiting = state.cooling
    if state.boot != observed.boot:
        waiting = tuple(replace(c, freed_at=observed.now) for c in waiting)
    return replace(
        state,
        boot=observed.boot,
        cluster=plan.cluster or state.cluster,
        plan=plan,
        cooling=cooling.freed(before | numbers(live), numbers(plan.mappings), waiting, now=observed.now),
        empty_seen=not pods,
        addresses=addresses,
    )


# --- what may not be -------------------------------------------------------------------------------------------------


def _limit(decision: Decision, pods: Iterable[Pod], observed: Observed, settings: Settings) -> Blocked | None:
    return blocked(
        decision.live,
        [change.mapping for change in decision.diff.changes if change.action == "delete"],
        _addresses(pods),
        max_delete=settings.max_delete,
        believe_empty=settings.allow_empty or observed.state.empty_seen,
        any_pod=bool(tuple(pods)),
    )


def restrained(decision: Decision, pods: Iterable[Pod], observed: Observed) -> Decision:
    """What a blocked run does all the same: rules to Pods that are gone go, unless the snapshot itself is in doubt."""
    rows = decision.live
    if decision.blocked and decision.blocked.kind == "max-delete":
        rows = tuple(m for m in rows if still_runs(m, _addresses(pods)))
    changes = diff(decision.live, rows, why_add=lambda _: "", why_delete=lambda _: "pod-gone")
    return replace(
        decision,
        admitted=rows,
        diff=changes,
        wanted=tables(rows, decision, observed.routes) if changes.changes else {},
        patches=(),
        failures=(),
        kept=replace(observed.state, empty_seen=decision.kept.empty_seen),
    )


def _addresses(pods: Iterable[Pod]) -> frozenset[tuple[str, str]]:
    return frozenset((pod.ref.key, ip) for pod in pods if not pod.terminated for ip in pod.ips)
