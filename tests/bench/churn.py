"""Watch mode through a day of a node: changes of Pods, and everything that fails meanwhile. What it asks of the server.

The day is shorter than a day, as nothing happens between two changes but resyncs, which ask the server for nothing, and
renewals of three watches every 4 to 8 minutes.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kube
import worlds
from bench.cluster import HOST, SHOP, Served, served
from bench.failures import DAY, FAILURES, INTERRUPTIONS, Failure
from bench.figures import Figure
from bench.nodes import pod_ip
from bench.watch import WATCHES, published_after
from faultproxy import Proxy, Request
from holdspace import bindable
from soak import check

from nplconf.model import PortRange

if TYPE_CHECKING:
    import subprocess

CLOCKED = Path(__file__).with_name("clocked.py")
REST_SECONDS = 2.0
"""More than a resync, which repeats what failed in the last run."""
LAST_SECONDS = 60.0
"""In which the node must converge after the last failure: twice the longest backoff."""


@dataclass
class Node:
    """The node of that day, and its clients.

    Attributes:
        served: the node with its API server.
        proxy: between the two.
        dice: chooses what happens.
        seconds: how long each failure of the API server lasts.
        names: the Pods that are there.
        created: how many Pods were created.
    """

    served: Served
    proxy: Proxy
    dice: random.Random
    seconds: float
    names: list[str]
    created: int = 0
    process: "subprocess.Popen[str]" = field(init=False)

    # --- nplconf

    @property
    def options(self) -> tuple[str, ...]:
        """Options of each command."""
        return ("--port-range", str(self.ports), "--namespace-share", "100")

    @property
    def ports(self) -> PortRange:
        """The ports, all of which are held."""
        return PortRange(self.served.last - self.served.numbers + 1, self.served.last)

    @property
    def log(self) -> Path:
        """What watch mode printed."""
        return self.served.directory / "watch.log"

    def start(self) -> None:
        """Start watch mode."""
        words = (str(CLOCKED), str(self._clock), "watch", "--resync", "1", *self.options, *self.served._options())
        with self.log.open("a") as log:
            self.process = self.served.process(*words, stderr=log, text=True)

    def stop(self) -> None:
        """Kill it, in a run where one goes on."""
        self.process.kill()
        self.process.wait()

    @property
    def _clock(self) -> Path:
        return self.served.directory / "clock"

    def set_clocks(self, seconds: float) -> None:
        """Let the clocks of watch mode be so far ahead."""
        new = self._clock.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._clock)

    # --- one change of the cluster each

    def change(self) -> None:
        """Carry out one change of one Pod."""
        self.dice.choice((self.come, self.come, self.go, self.go, self.get_ready, self.get_ready, self.move))()

    def come(self) -> None:
        """A Pod is created and gets an address."""
        raw = worlds.raw_pod(f"new-{self.created}", (self._address(),))
        metadata = {key: value for key, value in raw["metadata"].items() if key != "uid"}
        self.served.plane.ok("POST", f"{SHOP}/pods", {"metadata": metadata, "spec": raw["spec"]})
        self._status(raw["metadata"]["name"], raw["status"])
        self.names.append(raw["metadata"]["name"])

    def go(self) -> None:
        """A Pod ends."""
        if self.names:
            name = self.names.pop(self.dice.randrange(len(self.names)))
            self.served.plane.ok("DELETE", f"{SHOP}/pods/{name}?gracePeriodSeconds=0")

    def get_ready(self) -> None:
        """A Pod becomes ready, or is no longer."""
        if self.names:
            condition = {"type": "Ready", "status": self.dice.choice(("True", "False"))}
            self._status(self.dice.choice(self.names), {"conditions": [condition]})

    def move(self) -> None:
        """A Pod gets another address, as after a new sandbox."""
        if self.names:
            ip = self._address()
            self._status(self.dice.choice(self.names), {"podIP": ip, "podIPs": [{"ip": ip}]})

    def _status(self, name: str, status: dict[str, Any]) -> None:
        self.served.plane.ok("PATCH", f"{SHOP}/pods/{name}/status", {"status": status})

    def _address(self) -> str:
        self.created += 1
        return pod_ip(60_000 + self.created)

    # --- what must be true

    def faults(self) -> list[str]:
        """What is not as the cluster asks for, in the kernel, the held ports and the annotations."""
        pods = self.served.plane.ok("GET", f"{SHOP}/pods")["items"]
        services = self.served.plane.ok("GET", f"{SHOP}/services")["items"]
        objects = [{"kind": "Pod", **raw} for raw in pods] + [{"kind": "Service", **raw} for raw in services]
        live = check.rules(self.served.ours())
        found = check.faults(objects, live, bindable(self.served.node, self.ports))
        if missing := check.asked(objects) - {(rule.protocol, rule.ip, rule.pod_port) for rule in live}:
            found.append(f"without a rule: {sorted(missing)}")
        if self.proxy.open_streams != WATCHES:
            found.append(f"{self.proxy.open_streams} watches")
        return found

    def converge(self) -> list[str]:
        """Wait until nothing is wrong; what still is when the time is over."""
        until = time.monotonic() + LAST_SECONDS
        while (found := self.faults()) and time.monotonic() < until:
            time.sleep(0.2)
        return found

    def rest(self) -> None:
        """Wait until watch mode has sent its last request. Events follow the annotations."""
        count = -1
        while count != len(self.proxy.requests):
            count = len(self.proxy.requests)
            time.sleep(REST_SECONDS)


# --- the figures -----------------------------------------------------------------------------------------------------


def day(pods: int, single: int, changes: int, rounds: int, seconds: float) -> Iterator[Figure]:
    """A day of a node: so many changes, and each failure as often as there are rounds.

    Args:
        pods: on the node in the beginning.
        single: Pods that come and go one after another before.
        changes: of the day.
        rounds: how often each failure happens.
        seconds: for each failure, during which some of the changes happen.
    """
    story = [failure for failure in FAILURES for _ in range(rounds)]
    dice = random.Random(1)
    dice.shuffle(story)
    with served(pods, 1, "nftables", single + changes) as made, Proxy(made.plane, HOST, made.node) as proxy:
        made.kubeconfig = proxy.kubeconfig("proxy", token=made.plane.tokens[kube.ADMIN])
        node = Node(made, proxy, dice, seconds, [f"web-{number}" for number in range(pods)])
        node.set_clocks(0)
        node.start()
        try:
            assert not node.converge()
            node.rest()
            yield from _single(node, pods, single)
            yield from _day(node, story, pods, changes)
        finally:
            node.stop()


def _single(node: Node, pods: int, count: int) -> Iterator[Figure]:
    """The requests for Pods that come and go one after another."""
    group = f"watch, {pods} Pods here, {count} new Pods"
    began = len(node.proxy.requests)
    for number in range(count):
        published_after(node.served, number)
    asked = node.proxy.requests[began:]
    yield Figure(group, "reads for all changes", sum(one.method == "GET" for one in asked), "", 0)
    patches = sum(one.method == "PATCH" for one in asked)
    yield Figure(group, "patches for each Pod that comes and goes", patches / count, "", 2)
    yield Figure(group, "all requests for each", len(asked) / count, "", 4)


def _day(node: Node, story: Sequence[Failure], pods: int, changes: int) -> Iterator[Figure]:
    """The day itself, a quiet time after it, and what `apply` finds to do then."""
    group = f"watch, a day in {len(story) * node.seconds:.0f} s, {pods} Pods here, {changes} changes"
    requests = node.proxy.requests
    began = len(requests)
    _play(node, story, changes)
    over = time.monotonic()
    faults = node.converge()
    late = time.monotonic() - over
    node.rest()
    ended = len(requests)
    node.set_clocks(2 * DAY)
    time.sleep(4 * node.seconds)
    quiet = len(requests) - ended
    faults += _left_undone(node)
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    yield Figure(group, "faults at the end", len(faults), "", 0)
    yield Figure(group, "converged after the last failure", late, "s", 30)
    yield from _requests(group, requests[began:ended], story, changes)
    yield Figure(group, "requests while nothing happens", quiet, "", 0)


def _play(node: Node, story: Sequence[Failure], changes: int) -> None:
    """Let the failures happen one after another, and the changes meanwhile, evenly."""
    done = 0
    for number, failure in enumerate(story, start=1):
        due = changes * number // len(story) - done
        with failure(node):
            for _ in range(due):
                began = time.monotonic()
                node.change()
                time.sleep(max(0.0, node.seconds / due - (time.monotonic() - began)))
        done += due


def _left_undone(node: Node) -> list[str]:
    """What `apply` still finds to do, and errors that nobody expected."""
    before = len(node.proxy.requests)
    words = ("apply", "-o", "json", *node.options, *node.served._options())
    applied = node.served.run(sys.executable, "-m", "nplconf", *words)
    patched = [request.path for request in node.proxy.requests[before:] if request.method == "PATCH"]
    found = [f"apply patches {path}" for path in patched]
    summary = json.loads(applied.stdout or '{"summary": {}}')["summary"]
    if applied.returncode or summary["changed"] or summary["failed"]:
        found.append(f"apply ends with {applied.returncode}, {summary}: {applied.stderr}")
    return found + (["an unexpected error"] if "Traceback" in node.log.read_text() else [])


def _requests(group: str, asked: Sequence[Request], story: Sequence[Failure], changes: int) -> Iterator[Figure]:
    """The requests by kind, for each change or failure that makes them necessary."""
    kinds = Counter(_kind(request) for request in asked)
    interruptions = sum(failure in INTERRUPTIONS for failure in story)
    per = f"for each of {interruptions} restarts and outages"
    yield Figure(group, "patches for each change", kinds["patch"] / changes, "", 1)
    yield Figure(group, "Events for each change", kinds["Event"] / changes, "", 1)
    yield Figure(group, f"lists {per}", kinds["list"] / interruptions, "", 3)
    yield Figure(group, f"watches {per}", kinds["watch"] / interruptions, "", 6)
    yield Figure(group, "all requests for each change", len(asked) / changes, "", 3)


def _kind(request: Request) -> str:
    if request.method != "GET":
        return "patch" if request.method == "PATCH" else "Event"
    return "watch" if "watch=1" in request.path else "list"
