"""The state that the threads of watch mode share: the mirror, its reliability, and the causes of the next run."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

from nplconf.errors import NplconfError, UnavailableError
from nplconf.model import ClusterState, Patch
from nplconf.watch import pace
from nplconf.watch.mirror import Mirror, Resource

Cause = str
"""Why a run is due: a resource ("pods"), "drift", or "resync"."""


class Hub:
    """Shared by the sources, the drift monitor and the loop.

    Args:
        mirror: of the resources that are followed.
        clock: monotonic seconds.
        debounce: how long a run waits for further events.
    """

    def __init__(
        self, mirror: Mirror, clock: Callable[[], float] = time.monotonic, debounce: pace.Debounce = pace.AT_ONCE
    ) -> None:
        self.mirror = mirror
        self._debounce = debounce
        self.events: Counter[Cause] = Counter()
        """Events received, by cause."""
        self.restarts: Counter[Resource] = Counter()
        """Lists that were needed after the first, by resource."""
        self._clock = clock
        self._changed = threading.Condition()
        self._problems: dict[Resource, NplconfError | None] = {
            resource: UnavailableError(f"{resource} have not been listed yet") for resource in mirror.objects
        }
        self._unlisted = set(mirror.objects)
        self._pending: pace.PendingEvents | None = None
        self._ran = -inf
        """When `wait` returned last."""
        self.began: float | None = None
        """When the first event came that the last run was for; None for a resync."""
        self._causes: set[Cause] = set()
        self._alarm: float | None = None

    # --- written by the sources and the drift monitor

    def replace(self, resource: Resource, items: Iterable[Mapping[str, Any]]) -> None:
        """Take a list. The resource can be trusted from now on. Raises what items raises; then nothing is changed."""
        found = self.mirror.values(resource, items)  # a list of a large cluster takes long to arrive and to parse
        with self._changed:
            self.restarts[resource] += resource in self.mirror.listed
            changed = self.mirror.replace(resource, found)
            self._trust(resource, changed=changed)

    def resumed(self, resource: Resource) -> None:
        """Say that the events since the last known one follow: a resource that was listed can be trusted again."""
        with self._changed:
            self._trust(resource, changed=False)

    def _trust(self, resource: Resource, *, changed: bool) -> None:
        again = self._problems[resource] is not None
        self._problems[resource] = None
        self._unlisted.discard(resource)
        if changed or again:
            self._notice(resource)

    def event(self, resource: Resource, kind: str, raw: Mapping[str, Any]) -> None:
        """Take one watch event."""
        with self._changed:
            self.events[resource] += 1
            apply = self.mirror.remove if kind == "DELETED" else self.mirror.update
            if apply(resource, raw):
                # a new Pod has no address yet, and the one that it gets should not wait for the run for this event
                self._notice(resource, urgent=kind != "ADDED" or not self.mirror.is_unaddressed(resource, raw))

    def lost(self, resource: Resource, problem: NplconfError) -> None:
        """Say that the resource cannot be followed at present. The next run raises the problem as its own."""
        with self._changed:
            before, self._problems[resource] = self._problems[resource], problem
            self._unlisted.discard(resource)
            if before is None:
                self._notice(resource)
            self._changed.notify_all()

    def drifted(self) -> None:
        """Say that another program changed the rules of nplconf."""
        with self._changed:
            self.events["drift"] += 1
            self._notice("drift")

    def edited(self) -> None:
        """Say that a file that a run depends on was edited or replaced."""
        with self._changed:
            self.events["files"] += 1
            self._notice("files")

    def again(self) -> None:
        """Say that the last run has left something undone."""
        with self._changed:
            self._notice("again")

    def sent(self, patches: Iterable[Patch]) -> None:
        """Take our own patches before they are written, as their events may come before the responses."""
        with self._changed:
            self.mirror.send(patches)

    def annotated(self, patches: Iterable[Patch]) -> None:
        """Take our own patches as written, so that their echo is no change."""
        with self._changed:
            self.mirror.annotate(patches)

    def _notice(self, cause: Cause, *, urgent: bool = True) -> None:
        self._causes.add(cause)
        self._pending = pace.noticed(self._pending, self._clock(), urgent=urgent)
        self._changed.notify_all()

    # --- read by the loop

    @property
    def busy(self) -> bool:
        """Return whether urgent events wait for a run."""
        return self._pending is not None and self._pending.urgent

    def snapshot(self) -> ClusterState:
        """Return the cluster as it is now. Raises the error of a resource that cannot be followed at present."""
        with self._changed:
            problem = next(filter(None, self._problems.values()), None)
            if problem:
                raise problem
            return self.mirror.state()

    def first_lists(self, seconds: float) -> None:
        """Wait until every resource was listed, or could not be, but not longer than so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._unlisted, seconds)

    def wake(self, seconds: float | None) -> None:
        """Make a run due after so many seconds, with the cause "time"; None: no moment is known in advance."""
        with self._changed:
            self._alarm = None if seconds is None else self._clock() + seconds

    def wait(self, until: float) -> frozenset[Cause]:
        """Wait until a run is due; why. Without an event that is at `until`, with the cause "resync"."""
        with self._changed:
            while True:
                now = self._clock()
                due = min(self._pending.due(self._debounce, self._ran), until) if self._pending else until
                if self._alarm is not None and now >= self._alarm:
                    self._alarm = None
                    self._causes.add("time")
                    break
                due = due if self._alarm is None else min(due, self._alarm)
                if now >= due:
                    break
                self._changed.wait(due - now)
            causes, self._ran = frozenset(self._causes), now
            self.began = self._pending.first if self._pending else None
            self._pending, self._causes = None, set()
        return causes | ({"resync"} if now >= until else set())
