"""The node, behind one seam: its rules, held numbers, flows, routes and the state file."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from nplconf.model import Backend, Change, Failure, Family, Holds, PortMapping
from nplconf.node.iptables import Build, Synced
from nplconf.plan.state import Loaded, State
from nplconf.rules.iptables.masquerade import Routes
from nplconf.rules.iptables.table import Table


class Node(Protocol):
    """Everything that a run reads from or writes to the machine."""

    @property
    def backend(self) -> Backend:
        """The iptables in use."""

    @property
    def boot(self) -> str:
        """The kernel's name for this boot."""

    def now(self) -> float:
        """Seconds of the boot-time clock, which runs on in suspend and which nobody can set."""

    def load(self) -> Loaded:
        """What the last run left."""

    def save(self, state: State, before: str) -> str:
        """Leave a state to the next run; its text. before: the text that is there. Raises OSError."""

    def holds(self) -> Holds:
        """Which numbers are held; never raises."""

    def routes(self) -> Routes:
        """Which networks are bridged past conntrack."""

    def read(self, family: Family, *, whole: bool = False) -> Table:
        """What is ours in a family. whole: also what nothing leads to.

        Raises UnavailableError, PermissionDeniedError.
        """

    def sync(
        self, family: Family, have: Table, build: Build, keep: Sequence[PortMapping], add: Sequence[PortMapping]
    ) -> Synced:
        """Write a family's rules, as many as the kernel takes, and look again."""

    def leftovers(self) -> tuple[Family, ...]:
        """The families in which the other backend has something of ours."""

    def clear_leftovers(self, families: Sequence[Family]) -> tuple[Failure, ...]:
        """Remove what is ours from the other backend."""

    def flush_flows(
        self,
        changes: Sequence[Change],
        live: Sequence[PortMapping],
        addresses: Mapping[Family, Sequence[str]],
        *,
        everything: bool,
    ) -> tuple[Failure, ...]:
        """Delete the UDP flows that these changes misled; with everything, all that do not follow the live mappings."""
