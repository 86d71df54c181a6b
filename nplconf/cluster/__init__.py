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
        """Return the Node object of a node, its Pods and all Services; for None everything.

        A snapshot is complete or an error: an `NplconfError` is raised when no trustworthy response can be had.
        """

    def patch(self, patches: Sequence[Patch]) -> tuple[Failure, ...]:
        """Write the annotations, one Pod at a time. Return a failure for each one that was not written."""

    def post_events(self, events: Sequence[Event], node: str) -> tuple[Event, ...]:
        """Create Events, reported by this node. Return those that could not be created now and may be tried again."""

    def rights(self, node: str, *, events: bool) -> "tuple[Right, ...]":
        """Return the requests that a run makes, and whether they are allowed. Raises an `NplconfError` when unknown."""
