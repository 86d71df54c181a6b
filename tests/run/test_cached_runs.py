"""Runs with the results of earlier runs: each decides what a run without them decides."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seams import FakeCluster, FakeNode
from worlds import BOTH, NODE, cluster, node, pod, ref, service

from nplconf.cache import Cache
from nplconf.model import ClusterState, ContainerPort, Pod, PortRange, Service
from nplconf.plan.policy import Policy
from nplconf.run.decide import decide
from nplconf.run.decision import Bounds
from nplconf.run.reconcile import apply, observe
from nplconf.settings import Settings

RANGE = PortRange(61000, 61015)
SETTINGS = Settings(node=NODE, port_range=RANGE, max_delete=100, allow_empty=True)
BOUNDS = (Bounds(), Bounds(policy=Policy(per_pod=2)), Bounds(policy=Policy(deny=("shop",))))
INDEXES = st.integers(0, 7)
FORGED = '[{"podPort":80,"nodeIP":"1.1.1.1","nodePort":61003}]'
CONTAINER_PORTS: tuple[tuple[ContainerPort, ...], ...] = (
    (),
    (ContainerPort(80, "web"),),
    (ContainerPort(90, "web"),),
    (ContainerPort(80, host_port=61001),),
)
POD_CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "ips": st.sampled_from((("10.244.3.1",), ("10.244.3.2", "fd00:244::2"), ())),
    "labels": st.sampled_from(({"app": "web"}, {"app": "other"}, {})),
    "ports": st.sampled_from(CONTAINER_PORTS),
    "phase": st.sampled_from(("Running", "Succeeded")),
    "annotation": st.sampled_from((None, "[]", FORGED)),
    "terminating": st.booleans(),
    "host_network": st.booleans(),
    "containers_ready": st.booleans(),
    "gated": st.booleans(),
}


@dataclass
class Stream:
    """A cluster whose objects change one by one. What does not change stays the same object, as in a mirror."""

    pods: dict[int, Pod]
    services: dict[int, Service]
    addresses: tuple[tuple[str, str], ...] = (("InternalIP", "10.0.0.1"),)

    @property
    def state(self) -> ClusterState:
        return cluster(node(addresses=self.addresses), *self.pods.values(), *self.services.values())

    def run(self, kernel: FakeNode, bounds: Bounds, cache: Cache) -> None:
        """Make one run with the results of earlier ones, and compare its decision with that of a run without them."""
        seen, world = observe(kernel), FakeCluster(self.state, [])
        alone = decide(self.state, seen, SETTINGS, bounds)
        assert decide(self.state, seen, SETTINGS, bounds, cache=cache) == alone
        apply(world, kernel, SETTINGS, bounds, cache)
        after = {pod.ref: pod for pod in world.state.pods}
        self.pods = {index: after[one.ref] for index, one in self.pods.items()}

    def change(self, **fields: Any) -> None:
        """Change fields of the first Pod. Without any it becomes an equal object."""
        self.pods[0] = replace(self.pods[0], **fields)

    def move(self, address: str) -> None:
        """Give the node another address."""
        self.addresses = (("InternalIP", address),)

    def step(self, data: st.DataObject) -> None:
        what = data.draw(st.sampled_from(("pod", "change", "change", "gone", "equal", "service", "unasked", "node")))
        index = data.draw(INDEXES)
        if what == "pod":
            ips = (f"10.244.3.{index + 1}", f"fd00:244::{index + 1}")
            self.pods[index] = pod(f"web-{index}", ips, uid=data.draw(st.sampled_from("ab")))
        elif what == "service":
            self.services[index] = data.draw(services(f"s{index}"))
        elif what == "unasked":
            self.services.pop(index, None)
        elif what == "node":
            self.move(data.draw(st.sampled_from(("10.0.0.1", "10.0.0.2", "10.244.3.1"))))
        elif what == "gone":
            self.pods.pop(index, None)
        elif self.pods:
            index = data.draw(st.sampled_from(sorted(self.pods)))
            field = data.draw(st.sampled_from(sorted(POD_CHANGES)))
            changes = {field: data.draw(POD_CHANGES[field])} if what == "change" else {}
            self.pods[index] = replace(self.pods[index], **changes)


Ports = tuple[tuple[int | str, str], ...]
MANY: Ports = tuple((1000 + number, "TCP") for number in range(20))
"""More ports than there are numbers, so that not all are expanded."""
PORTS: tuple[Ports, ...] = (((80, "TCP"),), ((80, "UDP"), (90, "TCP")), (("web", "TCP"),), ((80, "SCTP"),), MANY)


@st.composite
def services(draw: st.DrawFn, name: str) -> Service:
    return service(
        name,
        draw(st.sampled_from(PORTS)),
        families=draw(st.sampled_from((("IPv4",), BOTH))),
        enabled=draw(st.sampled_from((True, True, False))),
        health_check_node_port=draw(st.sampled_from((0, 0, 61002))),
    )


CHANGES: dict[str, Callable[[Stream], object]] = {
    "nothing": lambda _: None,
    "an equal Pod": lambda stream: stream.change(),
    "an address of a Pod": lambda stream: stream.change(ips=("10.244.3.9",)),
    "a label": lambda stream: stream.change(labels={}),
    "a container port": lambda stream: stream.change(ports=(ContainerPort(90, "web"),)),
    "a hostPort": lambda stream: stream.change(ports=(ContainerPort(80, host_port=61001),)),
    "the host network": lambda stream: stream.change(host_network=True),
    "another Pod of that name": lambda stream: stream.change(ref=ref("web-0", uid="new")),
    "a deletion": lambda stream: stream.change(terminating=True),
    "an annotation": lambda stream: stream.change(annotation=FORGED),
    "an end": lambda stream: stream.pods.pop(0),
    "another Pod": lambda stream: stream.pods.update({2: pod("web-2", ("10.244.3.3",))}),
    "an address that two Pods have": lambda stream: stream.pods.update({2: pod("web-2", ("10.244.3.2",))}),
    "an address of the node": lambda stream: stream.move("10.0.0.2"),
    "a Pod's address as the node's": lambda stream: stream.move("10.244.3.2"),
    "no Service": lambda stream: stream.services.clear(),
    "a port of a Service": lambda stream: stream.services.update({0: service("s0", ((90, "TCP"),))}),
    "a family of a Service": lambda stream: stream.services.update({0: service("s0", ((80, "TCP"),), families=BOTH)}),
    "a claim": lambda stream: stream.services.update({1: service("s1", enabled=False, node_port=61003)}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("bounds", BOUNDS, ids=("free", "with a cap", "denied"))
def test_each_change_counts(change: Callable[[Stream], object], bounds: Bounds) -> None:
    stream = Stream({0: pod(), 1: pod("web-1", ("10.244.3.2",))}, {0: service("s0", ((80, "TCP"), ("web", "TCP")))})
    kernel, cache = FakeNode([], held=RANGE), Cache(lasting=True)
    for _ in range(2):
        stream.run(kernel, Bounds(), cache)
    change(stream)
    for _ in range(2):
        stream.run(kernel, bounds, cache)


@settings(max_examples=60)
@given(st.data())
def test_runs_with_the_results_of_earlier_runs_decide_what_others_decide(data: st.DataObject) -> None:
    stream = Stream({index: pod(f"web-{index}", (f"10.244.3.{index + 1}",)) for index in range(6)}, {0: service("s0")})
    kernel, cache = FakeNode([], held=RANGE), Cache(lasting=True)
    for _ in range(data.draw(st.integers(4, 12), label="runs")):
        for _ in range(data.draw(st.integers(0, 3), label="changes")):
            stream.step(data)
        kernel.clock += data.draw(st.sampled_from((1, 5_000)))
        stream.run(kernel, data.draw(st.sampled_from(BOUNDS)), cache)


def test_what_has_not_changed_is_the_same_object_in_the_next_plan() -> None:
    """Later steps of a run compare the two plans: equal objects would take longer than one and the same."""
    pods = {index: pod(f"web-{index}", (f"10.244.3.{index + 1}",)) for index in range(3)}
    stream, kernel, cache = Stream(pods, {0: service()}), FakeNode([], held=RANGE), Cache(lasting=True)
    stream.run(kernel, Bounds(), cache)
    first = {m.pod.name: m for m in decide(stream.state, observe(kernel), SETTINGS, cache=cache).plan.mappings}
    stream.change(ips=("10.244.3.9",))
    second = {m.pod.name: m for m in decide(stream.state, observe(kernel), SETTINGS, cache=cache).plan.mappings}
    assert {name for name in first if second[name] is first[name]} == {"web-1", "web-2"}
    assert second["web-0"].pod_ip == "10.244.3.9"
