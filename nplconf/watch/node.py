"""The node of a run, with what may be kept in memory between two full readings.

What is kept, and why it may be:

reading
    The rules, as they were read last. Each sync replaces what it wrote by what it read afterwards. The kernel notifies
    changes by other programs (`drift`), but not those of iptables-legacy: the resync sees them.
foreign
    Rules of others that come first, read with the rules. Changes of them are notified, too.
antrea
    What there is of Antrea. An agent that starts changes rules, which is notified.
leftovers
    Rules in a backend that is not in use. Only an administrator makes them.
loaded
    The state file, as it was read or written last. Another run replaces the file, which its identity shows. Then the
    rules are read again, too, as that run may have changed them.

Everything else is read in every run. `forget` drops all of it after a run that failed. At each resync and after drift a
new `RememberedNode` takes its place.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nplconf.model import Backend, Change, Failure, Family, Holds, PortMapping
from nplconf.node.linux import LinuxNode
from nplconf.node.state import FILE
from nplconf.plan.state import Loaded, State
from nplconf.rules import Goal, Reading, RuleBackend, Synced
from nplconf.rules.antrea import Antrea, Chain
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.masquerade import Routes
from nplconf.watch.drift import Monitor

_Identity = tuple[int, int, int] | None


class RememberedNode:
    """A `Node` over a `LinuxNode`, which keeps what the module's docstring lists.

    Args:
        node: the machine.
        monitor: told when this process changes rules, so that it does not take that for drift.
    """

    def __init__(self, node: LinuxNode, monitor: Monitor | None) -> None:
        self._node = node
        self._monitor = monitor
        self._reading: Reading[Any] | None = None
        self._leftovers: Mapping[Backend, tuple[Family, ...]] | None = None
        self._foreign: tuple[ForeignRule, ...] | None = None
        self._antrea: Antrea | None = None
        self._loaded: Loaded | None = None
        self._file: _Identity = None

    def forget(self) -> None:
        """Read everything again in the next run."""
        self._reading = self._leftovers = self._foreign = self._antrea = self._loaded = None

    @property
    def backend(self) -> Backend:
        """See `Node`."""
        return self._node.backend

    @property
    def rules(self) -> RuleBackend[Any]:
        """See `Node`."""
        return self._node.rules

    @property
    def boot(self) -> str:
        """See `Node`."""
        return self._node.boot

    def now(self) -> float:
        """See `Node`."""
        return self._node.now()

    def load(self) -> Loaded:
        """See `Node`. Another run's file makes everything be read again."""
        found = self._identity()
        if self._loaded is None or found is None or found != self._file:
            self.forget()
            self._loaded, self._file = self._node.load(), found
        return self._loaded

    def save(self, state: State, before: str) -> str:
        """See `Node`."""
        text = self._node.save(state, before)
        self._loaded, self._file = Loaded(state, text), self._identity()
        return text

    def _identity(self) -> _Identity:
        try:
            found = Path(self._node.settings.state_dir, FILE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def holds(self) -> Holds:
        """See `Node`."""
        return self._node.holds()

    def routes(self) -> Routes:
        """See `Node`."""
        return self._node.routes()

    def addresses(self) -> frozenset[str]:
        """See `Node`."""
        return self._node.addresses()

    def read(self, *, whole: bool = False) -> Reading[Any]:
        """See `Node`. A reading of which a part failed is not kept."""
        self.load()  # before the rules: another run may have changed both
        if self._reading is None or whole or self._reading.unreadable:
            self._reading = self._node.read(whole=whole)
        return self._reading

    def sync(self, goal: Goal[Any]) -> Synced[Any]:
        """See `Node`."""
        before, self._reading = self._reading, None
        if self._monitor:
            self._monitor.own_change()
        synced = self._node.sync(goal)
        if self._monitor:
            self._monitor.own_change()
        if before and not synced.errors:
            self._reading = Reading({**before.found, **synced.found}, before.unreadable)
        return synced

    def foreign(self, found: Mapping[Family, Any]) -> tuple[ForeignRule, ...]:
        """See `Node`."""
        if self._foreign is None:
            self._foreign = self._node.foreign(found)
        return self._foreign

    def antrea(self) -> Antrea:
        """See `Node`."""
        if self._antrea is None:
            self._antrea = self._node.antrea()
        return self._antrea

    def remove_antrea(self, chains: Sequence[Chain]) -> tuple[Failure, ...]:
        """See `Node`."""
        self._antrea = self._foreign = None
        return self._node.remove_antrea(chains)

    def leftovers(self) -> Mapping[Backend, tuple[Family, ...]]:
        """See `Node`."""
        if self._leftovers is None:
            self._leftovers = self._node.leftovers()
        return self._leftovers

    def clear_leftovers(self, leftovers: Mapping[Backend, Sequence[Family]]) -> tuple[Failure, ...]:
        """See `Node`."""
        self._leftovers = None
        return self._node.clear_leftovers(leftovers)

    def flush_flows(
        self,
        changes: Sequence[Change],
        live: Sequence[PortMapping],
        addresses: Mapping[Family, Sequence[str]],
        *,
        everything: bool,
    ) -> tuple[Failure, ...]:
        """See `Node`."""
        return self._node.flush_flows(changes, live, addresses, everything=everything)
