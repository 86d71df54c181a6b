"""The node of a run, with what may be kept in memory between two full readings.

`Known` lists what is kept, and why it may be. Everything else is read in every run. After a run that failed all of it
is dropped. At each resync and after drift a new `RememberedNode` takes its place, which knows nothing.

The state file is written at most twice in a run, see `save`. Only the last write waits for the disk, 1 to 20 ms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nplconf.model import Backend, Change, Failure, Family, Holds, PortMapping
from nplconf.node import NodeAccess
from nplconf.plan.state import Loaded, State
from nplconf.rules import Goal, Reading, RuleBackend, Synced
from nplconf.rules.antrea import Antrea, AntreaChain
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.masquerade import Routes

_Identity = tuple[int, ...] | None


@dataclass(slots=True)
class Known:
    """The facts of the node that are stored between two runs. None: read it when it is needed.

    Attributes:
        reading: the rules, as they were read last. Each sync replaces what it wrote by what it read afterwards. The
            kernel notifies changes by other programs (`drift`), but not those of iptables-legacy: the resync sees them.
        foreign: Rules of others that come first, read with the rules. The kernel notifies changes in the base chains of
            iptables; those of other chains and tables are read at the resync. kube-proxy changes its own every second.
        antrea: what there is of Antrea. An agent that starts changes rules, which is notified.
        leftovers: rules in a backend that is not in use. Only an administrator makes them.
        loaded: the state file, as it was read or written last. Another run replaces the file, which its identity shows.
            Then the rules are read again, too, as that run may have changed them.
    """

    reading: Reading[Any] | None = None
    foreign: tuple[ForeignRule, ...] | None = None
    antrea: Antrea | None = None
    leftovers: Mapping[Backend, tuple[Family, ...]] | None = None
    loaded: Loaded | None = None


class RememberedNode:
    """A `NodeAccess` over another one, which keeps what `Known` lists.

    Args:
        node: the machine.
        state_file: where its `save` writes.
    """

    def __init__(self, node: NodeAccess, state_file: Path) -> None:
        self._node = node
        self._state_file = state_file
        self._in_run = self._written = False
        self._deferred: State | None = None
        self.known = Known()
        self._file: _Identity = None

    def forget(self) -> None:
        """Read everything again in the next run."""
        self.known = Known()

    @property
    def backend(self) -> Backend:
        """See `NodeAccess`."""
        return self._node.backend

    @property
    def rules(self) -> RuleBackend[Any]:
        """See `NodeAccess`."""
        return self._node.rules

    @property
    def boot(self) -> str:
        """See `NodeAccess`."""
        return self._node.boot

    def now(self) -> float:
        """See `NodeAccess`."""
        return self._node.now()

    def load(self) -> Loaded:
        """See `NodeAccess`. Another run's file makes everything be read again."""
        found = self._identity()
        if self.known.loaded is None or found != self._file:
            self.forget()
            self.known.loaded, self._file = self._node.load(), found
        return self.known.loaded

    def save(self, state: State, before: str) -> str:
        """See `NodeAccess`. The first state of a run is written at once, the last one by who calls `end_run`.

        The first one has every new number, and is written before a rule or an annotation changes. The later ones
        say that the run has ended, and which Events were created. A run that is killed before that is written is like
        one that was killed while it wrote rules: the next run reads the rules again and flushes their flows.
        """
        if self._written:
            self._deferred = state
            return before
        text = self._node.save(state, before)
        self.known.loaded, self._file = Loaded(state, text), self._identity()
        self._written = self._in_run
        return text

    def begin_run(self) -> None:
        """Begin to keep the states in memory that follow the first one."""
        self._in_run, self._written, self._deferred = True, False, None

    def end_run(self) -> State | None:
        """Return the state that is still to be saved; None where there is none."""
        self._in_run = self._written = False
        return self._deferred

    def _identity(self) -> _Identity:
        """Return what a change makes differ: of the content, or of what a file is refused for (a link, owner, mode)."""
        try:
            found = self._state_file.lstat()
        except OSError:
            return None
        return found.st_ino, found.st_ctime_ns, found.st_size, found.st_mode, found.st_uid

    def holds(self) -> Holds:
        """See `NodeAccess`."""
        return self._node.holds()

    def routes(self) -> Routes:
        """See `NodeAccess`."""
        return self._node.routes()

    def addresses(self) -> frozenset[str]:
        """See `NodeAccess`."""
        return self._node.addresses()

    def read(self, *, whole: bool = False) -> Reading[Any]:
        """See `NodeAccess`. A reading of which a part failed is not kept."""
        self.load()  # before the rules: another run may have changed both
        if self.known.reading is None or whole or self.known.reading.unreadable:
            self.known.reading = self._node.read(whole=whole)
        return self.known.reading

    def sync(self, goal: Goal[Any]) -> Synced[Any]:
        """See `NodeAccess`."""
        before, self.known.reading = self.known.reading, None
        synced = self._node.sync(goal)
        if before and not synced.errors:
            self.known.reading = Reading({**before.found, **synced.found}, before.unreadable)
        return synced

    def foreign(self, found: Mapping[Family, Any]) -> tuple[ForeignRule, ...]:
        """See `NodeAccess`."""
        if self.known.foreign is None:
            self.known.foreign = self._node.foreign(found)
        return self.known.foreign

    def antrea(self) -> Antrea:
        """See `NodeAccess`."""
        if self.known.antrea is None:
            self.known.antrea = self._node.antrea()
        return self.known.antrea

    def remove_antrea(self, chains: Sequence[AntreaChain]) -> tuple[Failure, ...]:
        """See `NodeAccess`."""
        self.known.antrea = self.known.foreign = None
        return self._node.remove_antrea(chains)

    def leftovers(self) -> Mapping[Backend, tuple[Family, ...]]:
        """See `NodeAccess`."""
        if self.known.leftovers is None:
            self.known.leftovers = self._node.leftovers()
        return self.known.leftovers

    def clear_leftovers(self, leftovers: Mapping[Backend, Sequence[Family]]) -> tuple[Failure, ...]:
        """See `NodeAccess`."""
        self.known.leftovers = None
        return self._node.clear_leftovers(leftovers)

    def flush_flows(
        self,
        changes: Sequence[Change],
        live: Sequence[PortMapping],
        addresses: Mapping[Family, Sequence[str]],
        *,
        everything: bool,
    ) -> tuple[Failure, ...]:
        """See `NodeAccess`."""
        return self._node.flush_flows(changes, live, addresses, everything=everything)
