"""The cluster, behind one seam: read as a snapshot of values, written as patches of Pod annotations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from nplconf.model import ClusterState, Event, Failure, Patch

if TYPE_CHECKING:  # only doctor pays for it
    from nplconf.model import Right


class Cluster(Protocol):
    """Where nodes, Pods and Services are read, and annotations are written."""

    @property
    def writable(self) -> bool:
        """Whether annotations are written, and not only reported."""

    def snapshot(self, node: str | None) -> ClusterState:
        """What the cluster holds: for a node its Node object, its Pods and all Services; for None everything.

        Raises an `NplconfError` when no trustworthy answer is to be had; never returns half of one.
        """

    def patch(self, patches: Sequence[Patch]) -> tuple[Failure, ...]:
        """Write the annotations, each for itself; what was refused is returned, the others are written."""

    def tell(self, events: Sequence[Event], node: str) -> tuple[Event, ...]:
        """Create Events in the name of a node's job; those that could not be created now, and may be later."""

    def rights(self, node: str, *, events: bool) -> "tuple[Right, ...]":
        """What a run does with the cluster, and whether it may. Raises an `NplconfError` when nobody says."""
