"""HTTP of watch mode: /metrics, /healthz (the loop is alive), /readyz (a run ended well since the start)."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from nplconf.errors import UnavailableError
from nplconf.watch.hub import Hub
from nplconf.watch.loop import LIVENESS_SECONDS

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LATE_SECONDS = 60.0
"""Without a sign of life for so long, which is longer than a run may take, the loop is stuck."""

_StartResponse = Callable[[str, list[tuple[str, str]]], object]


class Metrics:
    """What watch mode counts, beside the textfile's metrics.

    Args:
        hub: counts events and lists.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._registry = CollectorRegistry()
        self._publish_seconds = Histogram(
            "nplconf_publish_seconds",
            "Seconds from the first event to the end of the run that published.",
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._events = Counter("nplconf_events", "Events received.", ["kind"], registry=self._registry)
        self._restarts = Counter(
            "nplconf_watch_restarts", "Lists that were needed after the first.", ["resource"], registry=self._registry
        )
        self._age = Gauge(
            "nplconf_full_read_age_seconds", "Seconds since the node was read whole.", registry=self._registry
        )
        self._namespaces = Gauge(
            "nplconf_namespace_ports_used", "Node ports in use, by namespace.", ["namespace"], registry=self._registry
        )
        self._counted: dict[tuple[Counter, str], int] = {}
        self.of_run = ""
        """The text of the last run's metrics."""
        self._read_at = time.monotonic()
        self._alive_at = time.monotonic()
        self.ready = False

    def finished(self, used: Mapping[str, int], *, good: bool) -> None:
        """Count a run. used: node ports in use by namespace; good: it ended with exit code 0."""
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

    def text(self) -> str:
        """Return everything in the exposition format."""
        for counter, counts in ((self._events, self._hub.events), (self._restarts, self._hub.restarts)):
            for label, count in dict(counts).items():
                before = self._counted.get((counter, label), 0)
                counter.labels(label).inc(count - before)
                self._counted[counter, label] = count
        self._age.set(time.monotonic() - self._read_at)
        return self.of_run + generate_latest(self._registry).decode()

    @property
    def alive(self) -> bool:
        """Return whether the loop has given a sign of life lately."""
        return time.monotonic() - self._alive_at < LATE_SECONDS + LIVENESS_SECONDS


def serve(address: str, metrics: Metrics) -> None:
    """Answer at HOST:PORT in a daemon thread. Raises UnavailableError."""
    host, _, port = address.rpartition(":")
    try:
        server = make_server(host.strip("[]"), int(port), _application(metrics), _Server, _Handler)
    except (OSError, ValueError) as err:
        raise UnavailableError(f"--listen {address}: cannot listen there: {err}") from None
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()


def _application(metrics: Metrics) -> Callable[[Mapping[str, Any], _StartResponse], Iterable[bytes]]:
    def answer(environ: Mapping[str, Any], start: _StartResponse) -> Iterable[bytes]:
        status, kind, text = _answer(environ.get("PATH_INFO", ""), metrics)
        start(status, [("Content-Type", kind)])
        return [text.encode()]

    return answer


def _answer(path: str, metrics: Metrics) -> tuple[str, str, str]:
    plain = "text/plain; charset=utf-8"
    if path == "/metrics":
        return "200 OK", CONTENT_TYPE_LATEST, metrics.text()
    good = {"/healthz": metrics.alive, "/readyz": metrics.ready}.get(path)
    if good is None:
        return "404 Not Found", plain, "not found; there are /metrics, /healthz and /readyz\n"
    return ("200 OK", plain, "ok\n") if good else ("503 Service Unavailable", plain, "not yet\n")


class _Server(ThreadingMixIn, WSGIServer):
    """A client that is slow keeps no other waiting."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """Without a line in the journal for each request."""

    timeout = 10

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 the name is the base class's
        """Say nothing."""
