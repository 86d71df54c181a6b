"""The mirror as the cluster of a run: read from memory, written to the API server."""

import time
from collections.abc import Callable, Sequence

from nplconf.cluster import Cluster
from nplconf.model import ClusterState, Event, Failure, Patch, Right
from nplconf.watch.hub import Hub

POST_WITHIN = 2.0
"""Seconds for which changes of the cluster may delay the Events of a run."""


class WatchedCluster:
    """A `Cluster` whose snapshots are the mirror's.

    Args:
        hub: has the mirror.
        api: the same API server, for what is written.
        clock: monotonic seconds.
    """

    def __init__(self, hub: Hub, api: Cluster, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._api = api
        self._clock = clock
        self._delayed: float | None = None

    @property
    def writable(self) -> bool:
        """See `Cluster`."""
        return self._api.writable

    def snapshot(self, _node: str | None) -> ClusterState:
        """See `Cluster`. Raises the error of a resource that cannot be followed at present."""
        return self._hub.snapshot()

    def patch(self, patches: Sequence[Patch]) -> tuple[Failure, ...]:
        """See `Cluster`. The event of what was written starts no run, even if it comes before the response."""
        self._hub.sent(patches)
        written: list[Patch] = []
        try:
            failures = self._api.patch(patches)
            failed = {failure.subject for failure in failures}
            written = [patch for patch in patches if patch.pod.key not in failed]
        finally:
            self._hub.annotated(written)
        return failures

    def post_events(self, events: Sequence[Event], node: str) -> tuple[Event, ...]:
        """See `Cluster`. While changes wait for a run, that run creates the Events: Pods are published first."""
        now = self._clock()
        if self._hub.busy and now - (self._delayed or now) < POST_WITHIN:
            self._delayed = self._delayed or now
            return tuple(events)
        self._delayed = None
        return self._api.post_events(events, node)

    def rights(self, node: str, *, events: bool) -> tuple[Right, ...]:
        """See `Cluster`."""
        return self._api.rights(node, events=events)
