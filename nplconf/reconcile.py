"""The only place where reads, pure decisions and writes are put together.

One run: read the node, read the cluster, decide; keep the state; withdraw what goes; write the rules; forget stale flows;
read again; publish what is seen in place. Every step can be done twice; a failure of one mapping or Pod stops no other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from nplconf.cluster import Cluster
from nplconf.decision import Decision, Observed, decide, held, restrained, subject
from nplconf.errors import NplconfError, UnavailableError
from nplconf.model import FAMILIES, Change, ClusterState, Failure, Family, Mapping, Patch, Plan, Pod, RuleKey
from nplconf.node import Node
from nplconf.plan.state import State
from nplconf.publish import patches
from nplconf.rules import tree
from nplconf.rules.table import Table
from nplconf.settings import Settings


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one run. done: changes seen in the kernel. in_place: mappings seen there, and the hostPort ones.

    patches: annotations that were to be written. warnings: for the operator, nothing failed because of them. degraded:
    why the run is not a full success although no step failed.
    """

    decision: Decision
    done: tuple[Change, ...] = ()
    in_place: tuple[Mapping, ...] = ()
    patches: tuple[Patch, ...] = ()
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    degraded: str = ""
    unchanged: int = 0

    @property
    def exit_code(self) -> int:
        """As in the contract; a limit and a stale plan before what merely failed."""
        if self.decision.blocked:
            return 4
        if self.failures or self.degraded:
            nothing = not self.in_place and not self.done and self.decision.plan.mappings
            return 69 if nothing else 5
        if self.decision.resolved and self.decision.resolved.stale:
            return 3
        return 0


def observe(node: Node) -> Observed:
    """Read the node once. A family that cannot be read is data; raises UnavailableError when none can."""
    tables: dict[Family, Table] = {}
    unreadable: dict[Family, str] = {}
    for family in FAMILIES:
        try:
            tables[family] = node.read(family)
        except UnavailableError as err:
            unreadable[family] = str(err)
    if not tables:
        raise UnavailableError("; ".join(dict.fromkeys(unreadable.values())))
    return Observed(
        loaded=node.load(),
        boot=node.boot,
        now=node.now(),
        backend=node.backend,
        tables=tables,
        unreadable=unreadable,
        leftovers=node.leftovers(),
        holds=node.holds(),
        routes=node.routes(),
    )


def apply(cluster: Cluster, node: Node, settings: Settings, reviewed: Plan | None = None) -> Result:
    """One run against a cluster; the caller holds the lock, so that two runs do not undo each other."""
    snapshot = cluster.snapshot(settings.node)
    observed = observe(node)
    decision = decide(snapshot, observed, settings, reviewed)
    if decision.blocked:
        decision = restrained(decision, snapshot, observed, settings)
    pods = tuple(pod for pod in snapshot.pods if pod.node == settings.node) if not decision.blocked else ()
    return act(decision, observed, cluster, node, pods)


def act(decision: Decision, observed: Observed, cluster: Cluster | None, node: Node, pods: Sequence[Pod]) -> Result:
    """Carry a decision out, in the order that leaves nobody pointed at something that is not there."""
    failures = list(decision.failures)
    warnings = [observed.loaded.warning] if observed.loaded.warning else []
    degraded = [] if observed.holds.available else [observed.holds.message]
    text, problem = _keep(node, decision.kept, observed.loaded.text)
    degraded += problem
    if decision.diff.changes and cluster:
        gone = patches.withdrawals(pods, decision.admitted)
        refused = cluster.patch(gone) if gone else ()
        failures += refused
        pods = _patched(pods, gone, refused)
    tables, refused_rows = _write(decision, observed, node)
    failures += refused_rows
    failures += node.forget(_flows(decision), decision.addresses) if decision.diff.changes else ()
    in_place = seen_in_place(decision, tables, observed)
    failures += _missing(decision, in_place, failures, observed)
    published = patches.final(pods, _publishable(decision, in_place, observed))
    if cluster and published:
        failures += cluster.patch(published)
    return Result(
        decision=decision,
        done=_done(decision, tables),
        in_place=in_place,
        patches=published,
        failures=tuple(failures),
        warnings=tuple(warnings),
        degraded="; ".join(filter(None, degraded)),
    )


def seen_in_place(
    decision: Decision, tables: dict[Family, Table], observed: Observed
) -> tuple[Mapping, ...]:
    """The admitted mappings whose rule is there and reached; a hostPort is the CNI's, and counts as in place."""
    found: set[RuleKey] = set()
    for family, table in tables.items():
        found |= tree.in_place(table, decision.wanted[family])
    return tuple(m for m in decision.admitted if m.via == "hostPort" or m.key in found)


def _keep(node: Node, state: State, before: str) -> tuple[str, list[str]]:
    try:
        return node.save(state, before), []
    except OSError as err:
        return before, [f"the state file cannot be written ({err.strerror or err}): the node is brought in order without it"]


def _patched(pods: Iterable[Pod], gone: Iterable[Patch], refused: Iterable[Failure]) -> tuple[Pod, ...]:
    """The Pods as they are after their withdrawals."""
    failed = {failure.subject for failure in refused}
    written = {patch.pod: patch.annotation for patch in gone if patch.pod.key not in failed}
    return tuple(replace(pod, annotation=written[pod.ref]) if pod.ref in written else pod for pod in pods)


def _write(decision: Decision, observed: Observed, node: Node) -> tuple[dict[Family, Table], list[Failure]]:
    """Bring each family's chains to what is wanted; the tables as they were seen last."""
    tables: dict[Family, Table] = {}
    failures: list[Failure] = []
    for family, have in observed.tables.items():
        want = decision.wanted[family]
        if not tree.differs(want, have):
            tables[family] = have
            continue
        changed = {c.mapping.key for c in decision.diff.changes if c.action != "delete"}
        rows = [m for m in decision.admitted if m.family == family and m.via == "dnat"]
        settled = node.settle(
            family,
            have,
            keep=[m for m in rows if m.key not in changed],
            add=[m for m in rows if m.key in changed],
            addresses=decision.addresses.get(family, ()),
            routes=observed.routes,
        )
        tables[family] = settled.table
        failures += (Failure("rule", subject(row), message) for row, message in settled.refused)
        failures += (Failure("rule", family, message) for message in settled.errors)
    failures += node.clear_leftovers(observed.leftovers) if observed.leftovers else ()
    return tables, failures
