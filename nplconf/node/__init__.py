"""The node, behind two seams: `Node` for a run, `RuleDriver` for each backend of rules."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nplconf.model import Backend, Change, Failure, Family, Holds, PortMapping, PortRange
from nplconf.plan.state import Loaded, State
from nplconf.rules import Goal, R, Reading, RuleBackend, Synced
from nplconf.rules.antrea import Antrea, Chain
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.masquerade import Routes


class RuleDriver(Protocol[R]):
    """One backend on this machine: it reads and writes what its `RuleBackend` describes."""

    @property
    def name(self) -> Backend:
        """The backend, as `--backend` names it."""

    @property
    def rules(self) -> RuleBackend[R]:
        """The pure half of the backend."""

    def read(self, *, whole: bool = False) -> Reading[R]:
        """Read the rules of both families. whole: also chains that no rule leads to.

        A family that cannot be read is data. Raises PermissionDeniedError.
        """

    def sync(self, goal: Goal[R]) -> Synced[R]:
        """Write the rules, as many as the kernel takes, and read them again. Raises PermissionDeniedError."""

    def foreign(self, found: Mapping[Family, R], ports: PortRange) -> tuple[ForeignRule, ...]:
        """Return the rules of others in this backend's own base chains that take packets to the port range first.

        found: the rules of each family, as they were read; of a backend that is not in use, none.
        """

    def present(self) -> tuple[Family, ...]:
        """Return the families that have rules of this program; none where the backend is not installed."""

    def clear(self, family: Family) -> str:
        """Remove all rules of this program from a family; what went wrong, or ""."""


class Node(Protocol):
    """Everything that a run reads from or writes to the machine."""

    @property
    def backend(self) -> Backend:
        """The backend in use."""

    @property
    def rules(self) -> RuleBackend[Any]:
        """The pure half of the backend in use."""

    @property
    def boot(self) -> str:
        """The kernel's identifier of this boot."""

    def now(self) -> float:
        """Seconds of the boot-time clock, which runs on in suspend and which nobody can set."""

    def load(self) -> Loaded:
        """Read the state file."""

    def save(self, state: State, before: str) -> str:
        """Write the state file and return its text. before: the text that is there. Raises OSError."""

    def holds(self) -> Holds:
        """Ask which ports are held; never raises."""

    def routes(self) -> Routes:
        """Read which networks are on a bridge that bypasses conntrack."""

    def addresses(self) -> frozenset[str]:
        """Read the addresses of all devices of this node."""

    def read(self, *, whole: bool = False) -> Reading[Any]:
        """See `RuleDriver.read`."""

    def sync(self, goal: Goal[Any]) -> Synced[Any]:
        """See `RuleDriver.sync`."""

    def foreign(self, found: Mapping[Family, Any]) -> tuple[ForeignRule, ...]:
        """Return the rules of others that take packets to the port range before ours. found: our rules by family."""

    def antrea(self) -> Antrea:
        """Read what there is of Antrea's NodePortLocal; never raises."""

    def remove_antrea(self, chains: Sequence[Chain]) -> tuple[Failure, ...]:
        """Remove chains that an Antrea agent has left, and the jumps to them."""

    def leftovers(self) -> Mapping[Backend, tuple[Family, ...]]:
        """Return the families in which a backend that is not in use has rules of this program."""

    def clear_leftovers(self, leftovers: Mapping[Backend, Sequence[Family]]) -> tuple[Failure, ...]:
        """Remove the rules of this program from backends that are not in use."""

    def flush_flows(
        self,
        changes: Sequence[Change],
        live: Sequence[PortMapping],
        addresses: Mapping[Family, Sequence[str]],
        *,
        everything: bool,
    ) -> tuple[Failure, ...]:
        """Delete the UDP flows that these changes misdirect; everything: all that differ from the live mappings."""
