"""The node, behind two interfaces: `NodeAccess` for a run, and `RuleDriver` for each backend of rules.

`node.linux.LinuxNode` implements `NodeAccess` on a real machine. Tests implement it with a fake node. To add a backend,
see `nplconf.rules`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nplconf.model import Backend, Change, Failure, Family, Holds, PortMapping, PortRange
from nplconf.plan.state import Loaded, State
from nplconf.rules import Goal, R, Reading, RuleBackend, Synced
from nplconf.rules.antrea import Antrea, AntreaChain
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.masquerade import Routes


class RuleDriver(Protocol[R]):
    """One backend on this machine. It reads and writes the rules that its `RuleBackend` describes."""

    @property
    def name(self) -> Backend:
        """The name of the backend, as in `--backend`."""

    @property
    def rules(self) -> RuleBackend[R]:
        """The pure half of the backend."""

    def read(self, *, whole: bool = False) -> Reading[R]:
        """Read the rules of both families.

        A family that cannot be read is returned in `unreadable`.

        Args:
            whole: Find also chains that no rule leads to.

        Raises:
            PermissionDeniedError: The process may not read rules.
        """

    def sync(self, goal: Goal[R]) -> Synced[R]:
        """Write as many rules as the kernel accepts, and read them again.

        Raises:
            PermissionDeniedError: The process may not write rules.
        """

    def foreign(self, found: Mapping[Family, R], ports: PortRange) -> tuple[ForeignRule, ...]:
        """Return the foreign rules in this backend's base chains that take packets to the port range first.

        Args:
            found: The rules of each family, as they were read. Empty for a backend that is not in use.
            ports: The port range.
        """

    def present(self) -> tuple[Family, ...]:
        """Return the families that have rules of nplconf. Empty where the backend is not installed."""

    def clear(self, family: Family) -> str:
        """Remove all rules of nplconf from a family. Return the error, or ""."""


class NodeAccess(Protocol):
    """Everything that a run reads from the machine or writes to it."""

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
        """Return the boot-time clock in seconds. It runs on during suspend, and nobody can set it."""

    def load(self) -> Loaded:
        """Read the state file. A missing or damaged file gives an empty state with a warning."""

    def save(self, state: State, before: str) -> str:
        """Write the state file and return its text.

        Args:
            state: The state to write.
            before: The text of the file as it is now. An equal text is not written again.

        Raises:
            OSError: The file cannot be written.
        """

    def holds(self) -> Holds:
        """Return which ports are held. Never raises."""

    def routes(self) -> Routes:
        """Return the networks on a bridge whose packets bypass conntrack."""

    def addresses(self) -> frozenset[str]:
        """Return the addresses of all devices of this node."""

    def read(self, *, whole: bool = False) -> Reading[Any]:
        """See `RuleDriver.read`."""

    def sync(self, goal: Goal[Any]) -> Synced[Any]:
        """See `RuleDriver.sync`."""

    def foreign(self, found: Mapping[Family, Any]) -> tuple[ForeignRule, ...]:
        """Return the foreign rules that take packets to the port range first.

        Args:
            found: The rules of nplconf by family.
        """

    def antrea(self) -> Antrea:
        """Return what exists of Antrea's NodePortLocal on this node. Never raises."""

    def remove_antrea(self, chains: Sequence[AntreaChain]) -> tuple[Failure, ...]:
        """Remove chains that an Antrea agent left behind, and the jumps to them. Return the failures."""

    def leftovers(self) -> Mapping[Backend, tuple[Family, ...]]:
        """Return the families in which other backends than the one in use have rules of nplconf."""

    def clear_leftovers(self, leftovers: Mapping[Backend, Sequence[Family]]) -> tuple[Failure, ...]:
        """Remove the rules of nplconf from backends that are not in use. Return the failures."""

    def flush_flows(
        self,
        changes: Sequence[Change],
        live: Sequence[PortMapping],
        addresses: Mapping[Family, Sequence[str]],
        *,
        everything: bool,
    ) -> tuple[Failure, ...]:
        """Delete the conntrack entries of UDP flows that lead elsewhere than the rules say. Return the failures.

        Args:
            changes: The changes that this run has made.
            live: All mappings after the run.
            addresses: The node's addresses that the rules match, by family.
            everything: Check all ports of the range, not only those of `changes`.
        """
