"""The two stand-ins, in memory: `FakeCluster` for the cluster, and `FakeNode` for the machine.

They are typed against the interfaces that a run uses, `nplconf.cluster.Cluster` and `nplconf.node.NodeAccess`. mypy
checks it. Both write each change to one journal, in order, so that a test can compare the order of effects.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nplconf.errors import NplconfError
from nplconf.model import (
    FAMILIES,
    Backend,
    Change,
    ClusterState,
    Event,
    Failure,
    Family,
    Holds,
    Patch,
    PortMapping,
    PortRange,
    Right,
    Taken,
)
from nplconf.plan.state import Loaded, State
from nplconf.rules import Goal, Reading, RuleBackend, Synced
from nplconf.rules.antrea import Antrea, AntreaChain
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.table import NatTable, read
from nplconf.rules.masquerade import Routes

EMPTY = read("")
RANGE = PortRange(61000, 62000)


@dataclass
class FakeCluster:
    """A cluster in memory.

    Attributes:
        state: The snapshot. Patches change it.
        error: The exception that a snapshot raises instead.
        refuses: Pods whose patch fails.
        denies: Pods whose patch is denied.
        deaf: No Event can be created.
    """

    state: ClusterState
    journal: list[str]
    error: NplconfError | None = None
    refuses: set[str] = field(default_factory=set)
    denies: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    deaf: bool = False
    writable: bool = True

    def snapshot(self, node: str | None) -> ClusterState:
        if self.error:
            raise self.error
        return self.state

    def patch(self, patches: Sequence[Patch]) -> tuple[Failure, ...]:
        self.journal += [f"patch {p.pod.name} {p.annotation}" for p in patches]
        written = {p.pod: p.annotation for p in patches if p.pod.name not in self.refuses | self.denies}
        conditions = {p.pod: p.condition for p in patches if p.condition}
        pods = tuple(
            replace(pod, annotation=written[pod.ref], condition=conditions.get(pod.ref, pod.condition))
            if pod.ref in written
            else pod
            for pod in self.state.pods
        )
        self.state = replace(self.state, pods=pods)
        failed = (p.pod for p in patches if p.pod.name in self.refuses | self.denies)
        return tuple(Failure("publish", pod.key, "refused", refused=pod.name in self.denies) for pod in failed)

    def post_events(self, events: Sequence[Event], node: str) -> tuple[Event, ...]:
        self.events += [event for event in events if not self.deaf]
        return tuple(events) if self.deaf else ()

    def rights(self, node: str, *, events: bool) -> tuple[Right, ...]:
        return ()

    def annotation(self, name: str = "web-0") -> str | None:
        return next(pod.annotation for pod in self.state.pods if pod.ref.name == name)


@dataclass
class FakeNode:
    """A machine in memory.

    Attributes:
        tables: The rules in the kernel.
        refused: Node ports whose rules the kernel refuses.
        broken: Families that cannot be read.
    """

    journal: list[str]
    held: PortRange | None = RANGE
    taken: Collection[int] = ()
    boot: str = "boot-1"
    clock: float = 1000.0
    backend: Backend = "iptables-nft"
    tables: dict[Family, NatTable] = field(default_factory=lambda: dict.fromkeys(FAMILIES, EMPTY))
    other: dict[Family, NatTable] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    broken: set[Family] = field(default_factory=set)
    state: State = field(default_factory=State)
    unwritable: bool = False
    own: frozenset[str] = frozenset()
    first: tuple[ForeignRule, ...] = ()
    left: Antrea = Antrea()  # noqa: RUF009
    before_write: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.clock

    def load(self) -> Loaded:
        return Loaded(self.state, repr(self.state) if self.state != State() else "")

    def save(self, state: State, before: str) -> str:
        if self.unwritable:
            raise OSError(28, "No space left on device")
        if repr(state) != before:
            self.journal.append("save writing" if state.writing else "save")
            self.state = state
        return repr(state)

    def holds(self) -> Holds:
        if self.held is None:
            return Holds(available=False, message="hold daemon at /x: nobody answers")
        taken = tuple(Taken(number, "tcp", "thief[7]") for number in self.taken)
        return Holds(available=True, ranges=(self.held,), taken=taken)

    def routes(self) -> Routes:
        return ()

    def addresses(self) -> frozenset[str]:
        return self.own

    @property
    def rules(self) -> RuleBackend[NatTable]:
        return tree

    def read(self, *, whole: bool = False) -> Reading[NatTable]:
        found = {family: table for family, table in self.tables.items() if family not in self.broken}
        return Reading(found, {family: f"{family} is broken" for family in FAMILIES if family in self.broken})

    def sync(self, goal: Goal[NatTable]) -> Synced[NatTable]:
        self.before_write()
        for family in goal.have:
            self.journal.append(f"write {family}")
            rows = [m for m in (*goal.keep, *goal.add) if m.family == family]
            taken = [m for m in rows if m in goal.keep or m.node_port not in self.refused]
            self.tables[family] = goal.build(family, taken) or EMPTY
        refused = tuple((m, "no") for m in goal.add if m.node_port in self.refused)
        return Synced({family: self.tables[family] for family in goal.have}, refused)

    def foreign(self, found: Mapping[Family, NatTable]) -> tuple[ForeignRule, ...]:
        return self.first

    def antrea(self) -> Antrea:
        return self.left

    def remove_antrea(self, chains: Sequence[AntreaChain]) -> tuple[Failure, ...]:
        self.journal += [f"remove {chain.place}" for chain in chains]
        self.left = self.left._replace(chains=tuple(c for c in self.left.chains if c not in chains))
        return ()

    def leftovers(self) -> dict[Backend, tuple[Family, ...]]:
        return {self.spare: tuple(self.other)} if self.other else {}

    @property
    def spare(self) -> Backend:
        """The backend that is not in use."""
        return "iptables-legacy" if self.backend == "iptables-nft" else "iptables-nft"

    def clear_leftovers(self, leftovers: Mapping[Backend, Sequence[Family]]) -> tuple[Failure, ...]:
        for family in leftovers.get(self.spare, ()):
            self.journal.append(f"clear {family}")
            del self.other[family]
        return ()

    def flush_flows(
        self,
        changes: Sequence[Change],
        live: Sequence[PortMapping],
        addresses: Mapping[Family, Sequence[str]],
        *,
        everything: bool,
    ) -> tuple[Failure, ...]:
        self.journal.append("forget everything" if everything else f"forget {len(changes)}")
        return ()

    def numbers(self, family: Family = "IPv4") -> list[int]:
        """The node ports that have a rule."""
        return [rule.key.node_port for rule in tree.live(self.tables[family], family)]
