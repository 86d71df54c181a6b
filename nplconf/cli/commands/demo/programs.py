"""The programs of the demo, run as `python -m nplconf.cli.commands.demo.programs serve|ask|bind`.

Each prints JSON objects, one per line.
"""

import json
import socket
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, cast

PATIENCE = 3.0
"""Seconds that a client waits. No answer takes nearly as long, even on a slow machine."""


def _print(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class _Server(HTTPServer):
    """The server of one container. pod: the name of its Pod."""

    pod: str


class _WebServer(BaseHTTPRequestHandler):
    """Answers with its Pod, its port, and the client's address."""

    def do_GET(self) -> None:
        """Answer with one JSON object."""
        server = cast("_Server", self.server)
        body = json.dumps({"pod": server.pod, "port": server.server_port, "client": self.client_address[0]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Log nothing: stdout is read as JSON."""


def serve(pod: str, *ports: str) -> None:
    """Serve on every port until killed. Print {"listening": true} when all ports are open."""
    servers = [_Server(("0.0.0.0", int(port)), _WebServer) for port in ports]  # noqa: S104 - a Pod's own namespace
    for server in servers:
        server.pod = pod
        Thread(target=server.serve_forever).start()
    _print(listening=True)


def ask(host: str, port: str) -> None:
    """Send a request. Print {"answer": {...}}, {"refused": true} or {"error": ...}, with its milliseconds."""
    start = time.monotonic()
    outcome: dict[str, object]
    try:
        connection = HTTPConnection(host, int(port), timeout=PATIENCE)
        connection.request("GET", "/")
        outcome = {"answer": json.load(connection.getresponse())}
    except ConnectionRefusedError:
        outcome = {"refused": True}
    except OSError as error:
        outcome = {"error": error.strerror or str(error)}
    _print(**outcome, ms=round((time.monotonic() - start) * 1000, 1))


def bind(port: str) -> None:
    """Try to bind a port. Print {"bound": true}, or false with the error."""
    with socket.socket() as intruder:
        intruder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            intruder.bind(("", int(port)))
        except OSError as error:
            _print(bound=False, error=error.strerror)
        else:
            _print(bound=True, error=None)


ROLES: dict[str, Callable[..., None]] = {"serve": serve, "ask": ask, "bind": bind}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
