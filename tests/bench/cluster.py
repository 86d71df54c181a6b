"""Runs against a real API server in the node's own namespace: what they cost, and what comes over the wire."""

import contextlib
import http.client
import itertools
import json
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kube
import netns
import worlds
from bench import child
from bench.figures import Figure
from bench.nodes import Node, pod_ip
from netns import world

HOST = "10.0.0.1"
SHOP = "/api/v1/namespaces/shop"
CONNECTIONS = 4
ENTRIES = json.dumps([{"podPort": 8080, "nodeIP": HOST, "nodePort": 61000, "protocol": "tcp", "ipFamily": "IPv4"}])
"""The annotation of a Pod with one port."""
Request = tuple[str, str, object]


@dataclass(slots=True)
class Served(Node):
    """A node whose cluster is an API server. kubeconfig: how it is reached."""

    plane: kube.ControlPlane = field(init=False)
    kubeconfig: Path = field(init=False)

    def _options(self) -> tuple[str, ...]:
        where = self.directory
        held = ("--state-dir", str(where / "state"), "--hold-socket", str(where / "hold.sock"))
        return ("--node", worlds.NODE, "--kubeconfig", str(self.kubeconfig), "--backend", self.backend, *held)


@contextlib.contextmanager
def served(pods: int, services: int, backend: str = "nft", spare: int = 0) -> Iterator[Served]:
    """A node with so many Pods, one Service that selects them, and so many others. spare: ports beside the Pods'."""
    with tempfile.TemporaryDirectory(prefix="nplconf-bench-") as name, world(Path(name), backend, Served) as made:
        directory = made.directory / "plane"
        directory.mkdir()
        with kube.running(directory, made.node, HOST) as made.plane:
            made.kubeconfig = made.plane.kubeconfig("admin", {"token": made.plane.tokens[kube.ADMIN]})
            _fill(made, pods, services)
            made.numbers = pods + spare
            made.start_hold("--port-range", f"{made.last - made.numbers + 1}-{made.last}")
            yield made


def _fill(made: Served, pods: int, services: int) -> None:
    addresses = [{"type": "InternalIP", "address": HOST}]
    _send(made, [("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})])
    _send(made, [("POST", "/api/v1/nodes", {"metadata": {"name": worlds.NODE}})])
    _send(made, [("PATCH", f"/api/v1/nodes/{worlds.NODE}/status", {"status": {"addresses": addresses}})])
    raws = [worlds.raw_pod(f"web-{i}", (pod_ip(i),)) for i in range(pods)]
    _send(made, [("POST", f"{SHOP}/pods", _new(raw)) for raw in raws])
    _send(made, [("PATCH", _status(raw), {"status": raw["status"]}) for raw in raws])
    others = [worlds.raw_service(f"service-{i}", enabled=False) for i in range(services - 1)]
    _send(made, [("POST", f"{SHOP}/services", _new(raw)) for raw in (worlds.raw_service(), *others)])


def _new(raw: dict[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in raw["metadata"].items() if k != "uid"}
    return {k: v for k, v in raw.items() if k != "status"} | {"metadata": metadata}


def _status(raw: dict[str, Any]) -> str:
    return f"{SHOP}/pods/{raw['metadata']['name']}/status"


def _send(made: Served, requests: Sequence[Request]) -> float:
    """Send them all over a few connections, with nothing between them; the seconds that took."""
    kinds = {"POST": "application/json", "PATCH": kube.MERGE_PATCH}
    head = {"Authorization": f"Bearer {made.plane.tokens[kube.ADMIN]}"}
    ready = [(m, path, json.dumps(body), head | {"Content-Type": kinds[m]}) for m, path, body in requests]

    def send(part: Sequence[tuple[str, str, str, dict[str, str]]]) -> None:
        with contextlib.closing(connection(made)) as opened:
            for request in part:
                opened.request(*request)
                response = opened.getresponse()
                text = response.read()
                assert response.status < 300, text

    start = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as workers:
        list(workers.map(send, [ready[i::CONNECTIONS] for i in range(CONNECTIONS)]))
    return time.monotonic() - start


def connection(made: Served) -> http.client.HTTPSConnection:
    """A connection to the API server of a node."""
    context = ssl.create_default_context(cafile=str(made.plane.ca))
    connection = http.client.HTTPSConnection(HOST, made.plane.port, context=context, timeout=60)
    with netns.inside(made.node):
        connection.connect()
    return connection


# --- what is measured ------------------------------------------------------------------------------------------------


def quiet(pods: int, services: int, runs: int) -> Iterator[Figure]:
    """A run without a change: what every node pays every few seconds."""
    group = f"apply, API server, {pods} Pods here, {services} Services"
    with served(pods, services) as node:
        node.apply()
        count, before = max(runs, 2), _processor(node)
        cost = child.best([node.apply() for _ in range(count)])
        server = (_processor(node) - before) / count
        wire = _wire(node)
    yield Figure(group, "no change: whole process", cost.seconds, "s", 0.6)
    yield Figure(group, "no change: processor", cost.user + cost.system, "s", 0.5)
    yield Figure(group, "no change: peak memory", cost.peak, "MiB", 90)
    yield Figure(group, "no change: from the server", wire / 1e6, "MB", 1)
    yield Figure(group, "no change: processor of the server", server, "s")


def _processor(node: Served) -> float:
    """Return the processor time that the control plane has used, in seconds."""
    stats = (
        Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split() for process in node.plane.processes
    )
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def publish(count: int, runs: int) -> Iterator[Figure]:
    """From nothing to all published, beside the same patches sent with nothing around them."""
    group = f"apply, API server, {count} mappings"
    with served(count, 1) as node:
        costs, bare = [], []
        for _ in range(runs):
            bare.append(annotate(node, count, ENTRIES))
            annotate(node, count, None)
            node.forget()
            costs.append(node.apply())
            assert _published(node) == count
            annotate(node, count, None)
    beside = min(bare)
    cost = child.best(costs)
    yield Figure(group, "from nothing: whole process", cost.seconds, "s", 2 * beside, (("bare patches", beside),))
    yield Figure(group, "from nothing: processor", cost.user + cost.system, "s")
    yield Figure(group, "from nothing: peak memory", cost.peak, "MiB")


def annotate(node: Served, count: int, value: str | None) -> float:
    """Patch the annotation of the Pods web-0, web-1, ...; None removes it. Return the seconds that took."""
    body = {"metadata": {"annotations": {worlds.ANNOTATION: value}}}
    return _send(node, [("PATCH", f"{SHOP}/pods/web-{number}/status", body) for number in range(count)])


def _published(node: Served) -> int:
    found = node.plane.ok("GET", f"{SHOP}/pods")["items"]
    return sum(worlds.raw_annotation(raw) is not None for raw in found)


# --- the wire --------------------------------------------------------------------------------------------------------


def _wire(node: Served) -> int:
    """Bytes that the server sends in one run, TLS and all."""
    with _counting(node) as relay:
        before = node.kubeconfig
        user = {"token": node.plane.tokens[kube.ADMIN]}
        node.kubeconfig = node.plane.kubeconfig("relay", user, f"https://{HOST}:{relay.port}")
        node.apply()
        node.kubeconfig = before
    return relay.bytes


@dataclass(slots=True)
class _Relay:
    port: int
    bytes: int = 0


@contextlib.contextmanager
def _counting(node: Served) -> Iterator[_Relay]:
    """A relay in front of the server that counts."""
    with netns.inside(node.node):
        listener = kube.listener(HOST)
    relay = _Relay(listener.getsockname()[1])

    def count(size: int) -> None:
        relay.bytes += size

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with netns.inside(node.node):
                    server = socket.create_connection((HOST, node.plane.port))
                for a, b, note in ((client, server, lambda _: None), (server, client, count)):
                    threading.Thread(target=_pump, args=(a, b, note), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield relay
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _pump(source: socket.socket, target: socket.socket, note: Callable[[int], None]) -> None:
    with contextlib.suppress(OSError):
        for data in itertools.takewhile(bool, iter(lambda: source.recv(65536), None)):
            note(len(data))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
