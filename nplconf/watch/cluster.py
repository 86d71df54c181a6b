"""The mirror as the cluster of a run: read from memory, written to the API server."""

from collections.abc import Sequence

from nplconf.cluster.api.client import ApiCluster
from nplconf.model import ClusterState, Event, Failure, Patch, Right
from nplconf.watch.hub import Hub


class WatchedCluster:
    """A `Cluster` whose snapshots are the mirror's.

    Args:
        hub: has the mirror.
        api: the same API server, for what is written.
    """

    def __init__(self, hub: Hub, api: ApiCluster) -> None:
        self._hub = hub
        self._api = api

    @property
    def writable(self) -> bool:
        """See `Cluster`."""
        return self._api.writable

    def snapshot(self, _node: str | None) -> ClusterState:
        """See `Cluster`. Raises the error of a resource that cannot be followed at present."""
        return self._hub.snapshot()

    def patch(self, patches: Sequence[Patch]) -> tuple[Failure, ...]:
        """See `Cluster`. What was written is in the mirror before its event arrives."""
        failures = self._api.patch(patches)
        failed = {failure.subject for failure in failures}
        self._hub.annotated(patch for patch in patches if patch.pod.key not in failed)
        return failures

    def tell(self, events: Sequence[Event], node: str) -> tuple[Event, ...]:
        """See `Cluster`."""
        return self._api.tell(events, node)

    def rights(self, node: str, *, events: bool) -> tuple[Right, ...]:
        """See `Cluster`."""
        return self._api.rights(node, events=events)
