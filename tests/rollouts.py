"""A Deployment with the readiness gate, and its rollout behind a load balancer that reads its members every second.

During each second of delay the load balancer may still send a request to a Pod that is ending. So the Pods wait in
preStop for longer than that, as the page on load balancers recommends.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import workloads
from echo import Answer
from kubenode import KubeNode, condition
from kubenpl import Workload
from repeating import repeated

from nplconf.model import GATE
from nplconf.publish.annotation import Entry

LOOKUP = 1.0
"""Seconds between two looks at the Pods."""
PRE_STOP = 4


@dataclass
class LoadBalancer:
    """A pool of the Pods that are Ready and published, and what the requests to it came to."""

    workload: Workload
    members: list[Entry] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    requests: int = 0
    looked: float = 0.0
    """When it looked up its members last, by the monotonic clock."""

    def step(self) -> None:
        """Look up the members where it is time, and send requests."""
        if time.monotonic() - self.looked >= LOOKUP:
            self.look_up()
        self.request()

    def look_up(self) -> None:
        """Take the Pods that are there now as members."""
        ready = {raw["metadata"]["name"] for raw in self.workload.pods() if condition(raw, "Ready")}
        self.members = [entry for pod, entries in self.workload.entries().items() if pod in ready for entry in entries]
        self.looked = time.monotonic()

    def request(self) -> None:
        """Send one request to each member."""
        self.requests += 1
        if not self.members:
            self.lost.append("the pool is empty")
        for entry in self.members:
            answer = self.workload.node.client(entry.node_port, entry.node_ip)
            if isinstance(answer, Answer):
                self.answered.add(answer.pod)
            else:
                self.lost.append(f"{entry.node_ip}:{entry.node_port}: {answer}")


@contextlib.contextmanager
def balanced(workload: Workload) -> Iterator[LoadBalancer]:
    """Send requests until the body ends."""
    made = LoadBalancer(workload)
    made.look_up()
    with repeated(made.step, 0.05):
        yield made


def gated(node: KubeNode, namespace: str) -> Workload:
    """Apply a Deployment of two Pods with the gate, and an NPL Service."""
    node.apply_manifest(workloads.service("gated", namespace))
    workload = Workload(node, namespace, "gated")
    roll_out(workload, "1")
    return workload


def roll_out(workload: Workload, version: str) -> None:
    """Apply a version of the Deployment."""
    made = workloads.deployment(
        workload.name, workload.namespace, version=version, gates=[GATE], grace=PRE_STOP + 5, pre_stop=PRE_STOP
    )
    workload.node.apply_manifest(made)


def lost_in_rollout(workload: Workload) -> list[str]:
    """Roll out once the Pods are published; the requests that got no answer, of which there may be none.

    AssertionError when a Pod before or after the rollout answered no request: then the client proves nothing.
    """
    workload.wait_published(2)
    before = set(workload.entries())
    with balanced(workload) as seen:
        roll_out(workload, "2")
        place = (f"deployment/{workload.name}", f"--namespace={workload.namespace}")
        workload.node.kubectl("rollout", "status", *place, "--timeout=60s", timeout=70)
        workload.wait_published(2)
        time.sleep(2 * LOOKUP)
    after = set(workload.entries())
    assert before.isdisjoint(after)
    assert before | after <= seen.answered
    return seen.lost
