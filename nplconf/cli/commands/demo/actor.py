"""The programs of the demo, each a process of its own: `python -m nplconf.cli.commands.demo.actor serve|ask|bind`.

Every line they print is one JSON object, for the story to read.
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
"""Seconds a client waits: far more than any answer here takes, so a hang is told from a slow machine."""


def _say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class _Server(HTTPServer):
    """A container's server; it knows whose it is."""

    pod: str


class _WebServer(BaseHTTPRequestHandler):
    """Answers with what it sees: its own port, and the address that the request came from."""

    def do_GET(self) -> None:
        """One JSON object."""
        server = cast("_Server", self.server)
        body = json.dumps({"pod": server.pod, "port": server.server_port, "client": self.client_address[0]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Nothing: stdout is the story's."""


def serve(pod: str, *ports: str) -> None:
    """Serve on every port until killed; {"listening": true} once all do."""
    servers = [_Server(("0.0.0.0", int(port)), _WebServer) for port in ports]  # noqa: S104 - a Pod's own namespace
    for server in servers:
        server.pod = pod
        Thread(target=server.serve_forever).start()
    _say(listening=True)


def ask(host: str, port: str) -> None:
    """{"answer": {...}}, {"refused": true} or {"error": ...}, each with the milliseconds it took."""
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
    _say(**outcome, ms=round((time.monotonic() - start) * 1000, 1))


def bind(port: str) -> None:
    """Try to become the server of a number: {"bound": true}, or false with the reason."""
    with socket.socket() as intruder:
        intruder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            intruder.bind(("", int(port)))
        except OSError as error:
            _say(bound=False, error=error.strerror)
        else:
            _say(bound=True, error=None)


ROLES: dict[str, Callable[..., None]] = {"serve": serve, "ask": ask, "bind": bind}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
