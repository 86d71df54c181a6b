"""HTTP of watch mode: /metrics, /healthz (the loop is alive), /readyz (a run ended well since the start)."""

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from nplconf.errors import UnavailableError
from nplconf.watch.metrics import Metrics

PLAIN = "text/plain; charset=utf-8"
_StartResponse = Callable[[str, list[tuple[str, str]]], object]


def serve(address: str, metrics: Metrics) -> WSGIServer:
    """Answer at ADDRESS:PORT in a daemon thread. Raises UnavailableError."""
    host, _, port = address.rpartition(":")
    kind = _IPv6Server if ":" in host else _Server
    try:
        server = make_server(host.strip("[]"), int(port), _application(metrics), kind, _Handler)
    except OSError as err:
        raise UnavailableError(f"--listen {address}: cannot listen there: {err.strerror or err}") from None
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server


def _application(metrics: Metrics) -> Callable[[Mapping[str, Any], _StartResponse], Iterable[bytes]]:
    def answer(environ: Mapping[str, Any], start: _StartResponse) -> Iterable[bytes]:
        status, kind, text = _answer(environ.get("PATH_INFO", ""), metrics)
        start(status, [("Content-Type", kind)])
        return [text.encode()]

    return answer


def _answer(path: str, metrics: Metrics) -> tuple[str, str, str]:
    if path == "/metrics":
        return "200 OK", CONTENT_TYPE_LATEST, metrics.text()
    good = {"/healthz": metrics.alive, "/readyz": metrics.ready}.get(path)
    if good is None:
        return "404 Not Found", PLAIN, "not found; there are /metrics, /healthz and /readyz\n"
    return ("200 OK", PLAIN, "ok\n") if good else ("503 Service Unavailable", PLAIN, "not yet\n")


class _Server(ThreadingMixIn, WSGIServer):
    """Serves each client in a thread, so that a slow one delays no other."""

    daemon_threads = True


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    """Writes no line to the journal for each request."""

    timeout = 10

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 the name is the base class's
        """Write nothing."""
