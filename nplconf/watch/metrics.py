"""The counters of watch mode, beside the metrics of each run."""

import time
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from nplconf.watch.hub import Hub
from nplconf.watch.loop import LIVENESS_SECONDS

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LATE_SECONDS = 60.0
"""Without a sign of life for so long, which is longer than a run may take, the loop is stuck."""


class Metrics:
    """The metrics of watch mode.

    Args:
        hub: counts events and lists.
    """

    def __init__(self, hub: Hub) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._hub = hub
        self._registry = registry = CollectorRegistry()
        self._publish_seconds = Histogram(
            "nplconf_publish_seconds",
            "Seconds from the first event to the end of the run that published.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._events = Counter("nplconf_events", "Events received.", ["kind"], registry=registry)
        self._restarts = Counter(
            "nplconf_watch_restarts", "Lists that were needed after the first.", ["resource"], registry=registry
        )
        self._age = Gauge("nplconf_full_read_age_seconds", "Seconds since the node was read whole.", registry=registry)
        self._namespaces = Gauge(
            "nplconf_namespace_ports_used", "Node ports in use, by namespace.", ["namespace"], registry=registry
        )
        self._counted: dict[tuple[Counter, str], int] = {}
        self._of_run: Callable[[], str] = str
        self._read_at = self._alive_at = time.monotonic()
        self.ready = False
        """Whether a run has ended well since the start."""

    def take(self, text: Callable[[], str]) -> None:
        """Take what makes the text of the last run's metrics. It is called when somebody asks for it."""
        self._of_run = text

    def finished(self, used: Mapping[str, int], *, good: bool) -> None:
        """Count a run. used: node ports in use by namespace; good: it did all that it could."""
        self.ready = self.ready or good
        self._namespaces.clear()
        for namespace, count in used.items():
            self._namespaces.labels(namespace).set(count)

    def published(self, began: float) -> None:
        """Observe the time since the first event that a run was for, monotonic seconds."""
        self._publish_seconds.observe(time.monotonic() - began)

    def read_now(self) -> None:
        """Say that the node is read whole now."""
        self._read_at = time.monotonic()

    def alive_now(self) -> None:
        """Say that the loop is alive."""
        self._alive_at = time.monotonic()

    @property
    def alive(self) -> bool:
        """Return whether the loop has given a sign of life lately."""
        return time.monotonic() - self._alive_at < LATE_SECONDS + LIVENESS_SECONDS

    def text(self) -> str:
        """Return everything in the exposition format."""
        resources = [str(resource) for resource in self._hub.mirror.objects]
        self._count(self._events, dict.fromkeys((*resources, "drift", "files"), 0) | dict(self._hub.events))
        self._count(self._restarts, dict.fromkeys(resources, 0) | {str(k): v for k, v in self._hub.restarts.items()})
        self._age.set(time.monotonic() - self._read_at)
        return self._of_run() + generate_latest(self._registry).decode()

    def _count(self, counter: Counter, counts: Mapping[str, int]) -> None:
        for label, count in counts.items():
            counter.labels(label).inc(count - self._counted.get((counter, label), 0))
            self._counted[counter, label] = count
