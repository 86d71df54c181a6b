"""Watch mode: from an event to the annotation, all Pods at once, and what a cluster that does not change costs.

What it asks of the API server through a day of changes and failures: `bench.churn`.
"""

import contextlib
import http.client
import json
import os
import random
import re
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import kube
import worlds
from bench.cluster import ENTRIES, SHOP, Served, annotate, connection, served
from bench.figures import Figure
from bench.nodes import pod_ip

from nplconf.watch import pace

TICK = os.sysconf("SC_CLK_TCK")
SETTLE_SECONDS = 90.0
PAUSE_SECONDS = 0.3
"""Between two Pods: the run for the deletion of one is no part of the latency of the next."""
WATCHES = 3
"""Of a node: Services, the Node, its Pods."""
LATER_SECONDS = 0.02
"""About the time that a run takes before its patch. An API server and etcd that were idle meanwhile answer later: 12
instead of 6 ms on a busy machine."""
WHOLE = ("--namespace-share", "100")
ANNOTATED = f'"{worlds.ANNOTATION}":"[{{'.encode()
"""In an event of a Pod whose annotation has an entry. Reading 1,000 events as JSON would delay both clients."""
NAME = re.compile(rb'"name":"(web-\d+)"')
LATER = f"bare patch {LATER_SECONDS * 1000:.0f} ms later"


@contextlib.contextmanager
def watching(node: Served, pods: int, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """`nplconf watch` on a node, whose first run has ended and has published so many Pods when the body begins."""
    ports = ("--port-range", f"{node.last - node.numbers + 1}-{node.last}")
    # not a pipe that nobody reads: 1,000 published Pods are more lines than it takes
    with node.process("watch", *ports, *options, *node._options(), stderr=subprocess.DEVNULL, text=True) as process:
        try:
            until = time.monotonic() + SETTLE_SECONDS
            state = node.directory / "state" / "state.json"
            while (published(node) < pods or not state.exists()) and time.monotonic() < until:
                time.sleep(0.5)
            yield process
        finally:
            process.terminate()
            process.wait()


def published(node: Served) -> int:
    """The Pods that have an annotation with an entry."""
    found = node.plane.ok("GET", f"{SHOP}/pods")["items"]
    return sum((worlds.raw_annotation(raw) or "[]") != "[]" for raw in found)


# --- latency ---------------------------------------------------------------------------------------------------------


def latency(pods: int, rounds: int, backend: str, aim: float) -> Iterator[Figure]:
    """One new Pod after another gets its address: the time until its annotation, beside a client that only patches."""
    with served(pods, 1, backend, pods + 3 * rounds) as node:
        yield from _latency(node, pods, rounds, aim)


def many(pods: int, rounds: int, aim: float, runs: int) -> Iterator[Figure]:
    """The same beside many mappings, then the time until all of them are published at once."""
    with served(pods, 1, "nftables", pods + 3 * rounds) as node:
        yield from _latency(node, pods, rounds, aim)
        yield from _publish(node, pods, runs)


def _latency(node: Served, pods: int, rounds: int, aim: float) -> Iterator[Figure]:
    group = f"watch, {node.backend}, {pods} Pods here"
    with watching(node, pods, *WHOLE):
        ordered = sorted(published_after(node, number) for number in range(rounds))
    bare = [_patched_after(node, rounds + number) for number in range(rounds)]
    later = [_patched_after(node, 2 * rounds + number, LATER_SECONDS) for number in range(rounds)]
    beside = tuple((name, statistics.median(found) * 1000) for name, found in (("bare patch", bare), (LATER, later)))
    yield Figure(group, "address to annotation p50", statistics.median(ordered) * 1000, "ms", aim, beside)
    yield Figure(group, "address to annotation p99", ordered[-1 - len(ordered) // 100] * 1000, "ms", 50)


def published_after(node: Served, number: int) -> float:
    """Seconds from the status that gives a new Pod its address to the annotation, as a watch sees both."""
    return _after(node, number, lambda _: None)


def _patched_after(node: Served, number: int, pause: float = 0.0) -> float:
    """The same for a client that patches at once, over an open connection: what no program can be faster than.

    Args:
        node: The node.
        number: Of the new Pod.
        pause: Seconds for which the client waits before its patch. They do not count.

    """
    body = json.dumps({"metadata": {"annotations": {worlds.ANNOTATION: ENTRIES}}})
    head = {"Authorization": f"Bearer {node.plane.tokens[kube.ADMIN]}", "Content-Type": kube.MERGE_PATCH}
    with contextlib.closing(connection(node)) as opened:

        def patch(name: str) -> None:
            time.sleep(pause)
            opened.request("PATCH", f"{SHOP}/pods/{name}/status", body, head)
            opened.getresponse().read()

        return _after(node, number, patch) - pause


def _after(node: Served, number: int, act: Callable[[str], None]) -> float:
    """Seconds from the event with the address to the one with an annotation. act: Called at the first one."""
    name = f"late-{number}"
    raw = worlds.raw_pod(name, (pod_ip(60_000 + number),))
    metadata = {key: value for key, value in raw["metadata"].items() if key != "uid"}
    node.plane.ok("POST", f"{SHOP}/pods", {"metadata": metadata, "spec": raw["spec"]})
    with _Observer.of(node, name) as observer:
        node.plane.ok("PATCH", f"{SHOP}/pods/{name}/status", {"status": raw["status"]})
        seconds = observer.seconds(lambda: act(name))
    node.plane.ok("DELETE", f"{SHOP}/pods/{name}?gracePeriodSeconds=0")
    time.sleep(PAUSE_SECONDS)
    return seconds


@dataclass(slots=True)
class _Observer:
    """A watch of Pods."""

    connection: http.client.HTTPSConnection
    response: http.client.HTTPResponse

    @classmethod
    @contextlib.contextmanager
    def of(cls, node: Served, name: str = "") -> Iterator["_Observer"]:
        """Begin to watch one Pod, or all."""
        with contextlib.closing(connection(node)) as opened:
            head = {"Authorization": f"Bearer {node.plane.tokens[kube.ADMIN]}"}
            # from the version that the server's cache has: one that lags refuses a newer one
            one = f"&fieldSelector=metadata.name={name}" if name else ""
            query = f"watch=1&resourceVersion=0{one}"
            opened.request("GET", f"{SHOP}/pods?{query}", headers=head)
            response = opened.getresponse()
            response.readline()  # the first Pod as it is
            yield cls(opened, response)

    def seconds(self, act: Callable[[], None]) -> float:
        """From the event with the address, at which something is done, to the one with an entry in the annotation."""
        began = None
        while True:
            raw = json.loads(self.response.readline())["object"]
            if began is None and raw["status"].get("podIP"):
                began = time.monotonic()
                act()
            if began is not None and (worlds.raw_annotation(raw) or "[]") != "[]":
                return time.monotonic() - began


# --- all Pods at once ------------------------------------------------------------------------------------------------


def _publish(node: Served, pods: int, runs: int) -> Iterator[Figure]:
    """A Service asks for its Pods' ports: the time until the last annotation, beside the same patches alone."""
    found, bare = [], []
    for _ in range(runs):
        _unpublish(node, pods)
        bare.append(_until_annotated(node, pods, lambda: annotate(node, pods, ENTRIES)))
        _unpublish(node, pods)
        with watching(node, 0, *WHOLE):
            found.append(_until_annotated(node, pods, lambda: _ask(node, "true")))
    beside = min(bare)
    group = f"watch, {node.backend}, {pods} Pods get their Service"
    yield Figure(group, "last annotation", min(found), "s", 1.2 * beside, (("bare patches", beside),))


def _unpublish(node: Served, pods: int) -> None:
    """No Service asks for ports, no Pod has an annotation, and the node is as new."""
    _ask(node, "false")
    annotate(node, pods, None)
    node.forget()


def _ask(node: Served, enabled: str) -> None:
    node.plane.ok("PATCH", f"{SHOP}/services/web", {"metadata": {"annotations": {worlds.ENABLED: enabled}}})


def _until_annotated(node: Served, pods: int, act: Callable[[], object]) -> float:
    """Seconds from something that is done to the annotations of so many Pods, as a watch sees them."""
    with _Observer.of(node) as observer, ThreadPoolExecutor(1) as beside:
        began = time.monotonic()
        done = beside.submit(act)
        names: set[bytes] = set()
        while len(names) < pods:
            line = observer.response.readline()
            if ANNOTATED in line and (name := NAME.search(line)):
                names.add(name[1])
        seconds = time.monotonic() - began
        done.result()
    return seconds


# --- reconnects -------------------------------------------------------------------------------------------------------


def reconnects(nodes: int) -> Iterator[Figure]:
    """A simulation: nodes that lose one API server at the same moment, and ask again as `pace.backoff` says."""
    for outage, aim in ((5.0, None), (60.0, nodes / 5)):
        group = f"watch, {nodes} nodes after {outage:.0f} s without API server"
        jittered = _peak(nodes * WATCHES, outage, random.Random(1).random)
        beside = (("without jitter", _peak(nodes * WATCHES, outage, lambda: 1.0)),)
        yield Figure(group, "peak of requests per second", jittered, "/s", aim, beside)


def _peak(watches: int, outage: float, dice: Callable[[], float]) -> float:
    """The most watches that are opened again in one second. Each has a backoff of its own."""
    return max(Counter(int(_back(outage, dice)) for _ in range(watches)).values())


def _back(outage: float, dice: Callable[[], float]) -> float:
    at, failures = 0.0, 0
    while at < outage:
        at += pace.backoff(failures, dice())
        failures += 1
    return at


# --- idle ------------------------------------------------------------------------------------------------------------


def idle(pods: int, services: int, seconds: float) -> Iterator[Figure]:
    """A cluster in which nothing happens."""
    group = f"watch, idle, {pods} Pods here, {services} Services"
    with served(pods, services, spare=pods) as node, watching(node, pods) as process:
        time.sleep(min(seconds / 2, 5.0))
        pid = process.pid  # `ip netns exec` becomes the program that it starts
        before, began = _processor(pid), time.monotonic()
        time.sleep(seconds)
        share = (_processor(pid) - before) / (time.monotonic() - began)
        memory = _memory(pid)
    yield Figure(group, "processor, of one core", share * 100, "%", 0.2)
    yield Figure(group, "memory (VmRSS)", memory, "MiB", 90)


def _processor(pid: int) -> float:
    """Seconds of a process and of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def _memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
