"""Small answers of an API server that unpack to much: what it costs to refuse them."""

import contextlib
import gzip
import http.server
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import worlds
from bench import child
from bench.figures import Figure

UNAVAILABLE = 69


def refused(size: int, runs: int) -> Iterator[Figure]:
    """Lists that unpack to so many bytes, beside an answer that is refused at its first byte."""
    spaces = b'{"kind":"ServiceList","items":[' + b" " * size
    nested = b'{"kind":"ServiceList","items":[{"metadata":{"a":[' + b"[]," * (size // 8 // 3)
    beside = _cost(b"no JSON", runs)
    for what, body in (("spaces", spaces), ("empty lists", nested)):
        packed = gzip.compress(body)
        cost = _cost(packed, runs)
        group = f"render, API server, an answer of {len(packed) >> 10} KiB unpacks to {len(body) >> 20} MiB of {what}"
        processor = ("no JSON", beside.user + beside.system)
        yield Figure(group, "whole process", cost.seconds, "s", 3, (("no JSON", beside.seconds),))
        yield Figure(group, "processor", cost.user + cost.system, "s", 2, (processor,))
        yield Figure(group, "peak memory", cost.peak, "MiB", 250, (("no JSON", beside.peak),))


def _cost(body: bytes, runs: int) -> child.Cost:
    with _serving(body) as port, tempfile.TemporaryDirectory(prefix="nplconf-bench-") as name:
        path = worlds.kubeconfig(Path(name) / "kubeconfig", {"token": "t"}, server=f"http://127.0.0.1:{port}")
        command = (sys.executable, "-m", "nplconf", "render", "--node", "n", "--kubeconfig", str(path))
        return child.best([child.run(command, environment=os.environ, expected=UNAVAILABLE) for _ in range(runs)])


@contextlib.contextmanager
def _serving(body: bytes) -> Iterator[int]:
    """A server that answers everything so; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if body.startswith(b"\x1f"):
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
