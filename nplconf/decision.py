"""The whole of what a run decides, in one pure function of what it read: the cluster, the node, the settings.

`reconcile` acts on a `Decision`, `plan` prints one, `verify` holds one against the node.
"""

from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field, replace

from nplconf.desired.addresses import matched_addresses
from nplconf.desired.pods import running
from nplconf.desired.render import Desired, find_node, render
from nplconf.desired.reviewed import Resolved, resolve
from nplconf.errors import BadDataError, BlockedError
from nplconf.model import (
    FAMILIES,
    PROTOCOLS,
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
    Plan,
    Pod,
    PodPort,
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

    plan: what the cluster (or the reviewed plan) asks for. admitted: its rows that may be in force: those whose number is
    held. live: what is in force. wanted: our chains as they are to be, None where a family is to have none. kept: the
    state to leave behind. failures: rows that cannot be served, known before anything is done.
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
    resolved: Resolved | None = None
    blocked: Blocked | None = None


def decide(cluster: ClusterState, observed: Observed, settings: Settings, reviewed: Plan | None = None) -> Decision:
    """Everything but the doing, from a trustworthy snapshot.

    reviewed: a plan whose rows and numbers are binding. Raises BlockedError for another cluster's state, BadDataError for
    one without this node.
    """
    node = find_node(cluster, settings.node)
    if node is None:
        raise BadDataError(f"the cluster state has no Node {settings.node}: it is not believed")
    same_cluster(observed.state.cluster, cluster.identity, "the cluster state")
    live = live_now(observed, settings)
    past = past_of(live, observed, settings)
    wishes = Desired(settings.port_range, settings.node_ips)
    resolved = None
    if reviewed is None:
        plan = render(cluster, node, wishes, past)
    else:
        same_cluster(cluster.identity, reviewed.cluster, "the plan")
        resolved = resolve(reviewed, cluster, node, wishes)
        plan = resolved.plan
    addresses = matched_addresses(node, plan.node_ips)
    pods = tuple(pod for pod in cluster.pods if pod.node == settings.node)
    return _limited(_decision(plan, addresses, live, pods, observed, settings, resolved), pods, observed, settings)


def heal(plan: Plan, observed: Observed, settings: Settings, addresses: MappingOf[Family, tuple[str, ...]]) -> Decision:
    """As `decide`, without a cluster: the plan as it stands, nobody is told anything."""
    decision = _decision(plan, addresses, live_now(observed, settings), (), observed, settings, None)
    return replace(decision, patches=())


def same_cluster(known: str | None, found: str | None, what: str) -> None:
    """Raises BlockedError where two identities are known and differ."""
    if known and found and known != found:
        raise BlockedError(f"{what} is of another cluster ({found}) than this node's ({known}): nothing is changed")


def live_now(observed: Observed, settings: Settings) -> tuple[Mapping, ...]:
    """The mappings that the kernel has, completed from the state file."""
    rules = [rule for table in observed.tables.values() for rule in tree.live(table)]
    known = observed.state.plan.mappings if observed.state.plan else ()
    advertised = observed.state.plan.node_ips if observed.state.plan else settings.node_ips
    return live_mappings(rules, known, advertised)


def past_of(live: Iterable[Mapping], observed: Observed, settings: Settings) -> Past:
    """What allocation is to know: live rules are trusted first, then the last plan, then who had a number before."""
    of_rules = numbers(live)
    of_plan = numbers(observed.state.plan.mappings) if observed.state.plan else {}
    of_cooling = {c.owner: c.number for c in observed.state.cooling}
    waiting = cooling.current(
        observed.state.cooling, now=observed.now, period=settings.cool_down, rebooted=observed.state.boot != observed.boot
    )
    # A number in use is its owner's until this run ends: nobody else may have it in the same breath.
    known = {number: Cooling(number, owner, observed.now) for owner, number in (of_plan | of_rules).items()}
    reserved = {c.number: c for c in waiting} | (known if settings.cool_down else {})
    return Past((of_rules, of_plan, of_cooling), _taken(observed.holds, settings), tuple(reserved.values()))


def held(holds: Holds) -> frozenset[int]:
    """The numbers that are held for every protocol."""
    found = {number for held in holds.ranges for number in range(held.first, held.last + 1)}
    return frozenset(found.difference(taken.number for taken in holds.taken))


def _taken(holds: Holds, settings: Settings) -> frozenset[int]:
    kept = held(holds)
    if not kept:  # nothing is let in at all then, so nothing moves either
        return frozenset()
    return frozenset(range(settings.port_range.first, settings.port_range.last + 1)) - kept


def _decision(
    plan: Plan,
    addresses: MappingOf[Family, tuple[str, ...]],
    live: tuple[Mapping, ...],
    pods: tuple[Pod, ...],
    observed: Observed,
    settings: Settings,
    resolved: Resolved | None,
) -> Decision:
    admitted, failures = _admit(plan.mappings, live, observed.holds, settings)
    if resolved:
        failures = (*failures, *resolved.failures)
    changes = diff(live, admitted, why_add=_why_add(observed), why_delete=_why_delete(pods, plan))
    wanted = tables(admitted, addresses, observed.routes)
    return Decision(
        plan=plan,
        admitted=admitted,
        live=live,
        diff=changes,
        wanted=wanted,
        addresses=addresses,
        patches=patches.final(pods, admitted),
        findings=findings(wanted, observed),
        failures=failures,
        kept=_kept(plan, addresses, live, pods, observed, settings),
        resolved=resolved,
    )


def tables(
    mappings: Iterable[Mapping], addresses: MappingOf[Family, tuple[str, ...]], routes: Routes
) -> dict[Family, Table | None]:
    """Our chains as they are to be; a family in which the node has no address has none."""
    rows = [m for m in mappings if m.via == "dnat"]
    return {family: _table(rows, addresses.get(family, ()), routes, family) for family in FAMILIES}


def _table(rows: list[Mapping], addresses: tuple[str, ...], routes: Routes, family: Family) -> Table | None:
    mine = [m for m in rows if m.family == family]
    if not addresses:
        return None
    return tree.table(mine, addresses, neighbourhoods(routes, {m.pod_ip for m in mine}), family)


def findings(wanted: MappingOf[Family, Table | None], observed: Observed) -> tuple[Finding, ...]:
    """What is wrong on the node beside the mappings themselves."""
    found = [
        finding
        for family, table in observed.tables.items()
        for finding in tree.findings(table, wanted.get(family), family)
    ]
    other = "legacy" if observed.backend == "nft" else "nft"
    message = f"rules of ours in iptables-{other}, beside iptables-{observed.backend} which is used; apply removes them"
    found += [Finding("backend", family, message) for family in observed.leftovers]
    found += [Finding("unreadable", family, message) for family, message in observed.unreadable.items()]
    return tuple(found)


def _admit(
    rows: tuple[Mapping, ...], live: Iterable[Mapping], holds: Holds, settings: Settings
) -> tuple[tuple[Mapping, ...], tuple[Failure, ...]]:
    """The rows whose number is held, and a failure for each other one.

    Without a daemon that holds anything nobody can say which number is safe: what is in force stays, and follows its Pod;
    nothing new is let in.
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
    by = next((taken.by for taken in holds.taken if taken.number == row.node_port and taken.by), None)
    if by or any(taken.number == row.node_port for taken in holds.taken):
        return f"number {row.node_port} is taken by {by or 'an unknown process'}"
    return f"number {row.node_port} is not held: the daemon at {settings.hold_socket} holds other numbers"


def subject(mapping: Mapping) -> str:
    """A mapping's name in messages: tcp/61044 (IPv6: tcp6/61044) and whose it is."""
    family = "" if mapping.family == "IPv4" else "6"
    return f"{mapping.protocol}{family}/{mapping.node_port} {mapping.pod.key}:{mapping.pod_port}"


def _limited(decision: Decision, pods: tuple[Pod, ...], observed: Observed, settings: Settings) -> Decision:
    here = running(pods, settings.node)
    addresses = frozenset((pod.ref.key, ip) for pod in here for ip in pod.ips)
    removed = [change.mapping for change in decision.diff.changes if change.action == "delete"]
    found = blocked(
        decision.live,
        removed,
        addresses,
        max_delete=settings.max_delete,
        believe_empty=settings.allow_empty or observed.state.empty_seen,
        any_pod=bool(pods),
    )
    return replace(decision, blocked=found) if found else decision


def restrained(decision: Decision, cluster: ClusterState, observed: Observed, settings: Settings) -> Decision:
    """What a blocked run does all the same: rules to Pods that are gone go, unless the snapshot is the one in doubt."""
    state = replace(observed.state, empty_seen=decision.kept.empty_seen)
    rows = decision.live
    if decision.blocked and decision.blocked.kind == "max-delete":
        here = running(cluster.pods, settings.node)
        addresses = frozenset((pod.ref.key, ip) for pod in here for ip in pod.ips)
        rows = tuple(m for m in rows if still_runs(m, addresses))
    changes = diff(decision.live, rows, why_add=lambda _: "", why_delete=lambda _: "pod-gone")
    wanted = tables(rows, decision.addresses, observed.routes) if changes.changes else decision.wanted
    return replace(decision, admitted=rows, diff=changes, wanted=wanted, patches=(), failures=(), kept=state)


def _why_add(observed: Observed) -> "object":
    remembered = observed.remembered
    before = {(m.key, m.owner) for m in remembered.mappings} if remembered else set()
    return lambda mapping: "rule-missing" if (mapping.key, mapping.owner) in before else "new"


def _why_delete(pods: Iterable[Pod], plan: Plan) -> "object":
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
    settings: Settings,
) -> State:
    """The state once the plan is in force. Written before the rules are: a run killed in between loses no owner."""
    before: dict[PodPort, int] = numbers(observed.state.plan.mappings) if observed.state.plan else {}
    rebooted = observed.state.boot != observed.boot
    waiting = tuple(
        Cooling(c.number, c.owner, observed.now) if rebooted else c for c in observed.state.cooling
    )
    freed = cooling.freed(before | numbers(live), numbers(plan.mappings), waiting, now=observed.now)
    return replace(
        observed.state,
        boot=observed.boot,
        cluster=plan.cluster or observed.state.cluster,
        plan=plan,
        cooling=freed,
        empty_seen=not pods,
        addresses=addresses,
    )
