"""A story in virtual time: the modelled cluster, and the real code of nplconf on two nodes in memory.

A run of nplconf takes time, and the cluster changes while it goes on. The result is every state that a load balancer
can see, with its time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import worlds
from inmemory import SETTINGS
from seams import FakeCluster, FakeNode

from loadbalancers import deployment, podlife
from loadbalancers.deployment import NODES, Deployment
from loadbalancers.events import Kind, Mode, Story
from loadbalancers.podlife import PORT, Shape
from nplconf.model import Pod, Service
from nplconf.rules.iptables import tree
from nplconf.run.reconcile import apply
from nplconf.settings import Settings

WATCH = 0.05
"""From an event to the run that it causes."""
WRITE = 0.02
"""Seconds that one write takes: a transaction, or the patches of a run."""
START = 60.0
"""When the event of a story happens, or later where the first Pods need longer."""
QUIET = 30.0
"""Seconds in which every load balancer has learned what there is."""
DOWN = 5.0
"""How long nplconf is down in a story that restarts it."""
LIMIT = 3000.0
ADDRESSES = {name: f"10.10.10.1{number}" for number, name in enumerate(NODES, 1)}
SERVICES = (worlds.service("web", [(PORT, "TCP")]),)


class Frame(NamedTuple):
    """One state of the cluster and the nodes.

    Attributes:
        at: Since when.
        pods: As the API server has them.
        rules: Where each node address and port leads to: the address of a Pod and its port.
        serving: The address of each Pod that accepts connections, by the Pod's name.
    """

    at: float
    pods: tuple[Pod, ...]
    rules: Mapping[tuple[str, int], str]
    serving: Mapping[str, str]


class Played(NamedTuple):
    """A story that was played: its states, and from when to when it is judged."""

    frames: tuple[Frame, ...]
    began: float
    ended: float


@dataclass
class Machine:
    """A node with nplconf. due: when the next run begins; None in watch mode without an event."""

    settings: Settings
    node: FakeNode
    due: float | None


@dataclass
class Simulation:
    """The state of a story at `now`."""

    deployment: Deployment
    period: float | None
    machines: dict[str, Machine]
    cluster: FakeCluster
    down_until: float = 0.0
    now: float = 0.0
    frames: list[Frame] = field(default_factory=list)

    # --- time

    def run_until(self, end: float) -> None:
        """Let time pass; runs of nplconf begin when they are due."""
        while (at := min(self._next_cluster(), self._next_run())) < end:
            self.now = max(self.now, at)
            self.change_cluster()
            for machine in self.machines.values():
                if self._due(machine) <= self.now:
                    self._run(machine)
        self.now = max(self.now, end)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in the middle of a run."""
        end = self.now + seconds
        while self._next_cluster() <= end:
            self.now = self._next_cluster()
            self.change_cluster()
        self.now = end

    def _next_cluster(self) -> float:
        return deployment.next_change(self.deployment, self.now)

    def _next_run(self) -> float:
        return min(map(self._due, self.machines.values()))

    def _due(self, machine: Machine) -> float:
        return float("inf") if machine.due is None else max(machine.due, self.down_until)

    # --- changes

    def change_cluster(self) -> None:
        """Let the controllers and kubelets do what is due, and write it to the API server."""
        written = {pod.ref.name: pod for pod in self.cluster.state.pods}
        for life in self.deployment.active:
            if life.opened is None and life.name in written and _is_open(written[life.name]):
                self.deployment = self.deployment.put(life._replace(opened=self.now))
        self.deployment = deployment.step(self.deployment, self.now)
        pods = tuple(podlife.observed(life, self.now, written.get(life.name)) for life in self.deployment.lives)
        self.cluster.state = replace(self.cluster.state, pods=pods)
        self._notify({pod.node for pod in {*written.values()} ^ {*pods}})
        self.record()

    def use_services(self, *services: Service) -> None:
        """Change the Services."""
        self.cluster.state = replace(self.cluster.state, services=services)
        self._notify(set(NODES))
        self.record()

    def _notify(self, nodes: set[str]) -> None:
        if self.period is None:
            for name in nodes:
                machine = self.machines[name]
                machine.due = min(self.now + WATCH, float("inf") if machine.due is None else machine.due)

    def _run(self, machine: Machine) -> None:
        machine.due = None
        machine.node.clock = 1000 + self.now
        result = apply(self.cluster, machine.node, machine.settings)
        assert not result.failures
        if self.period is not None:
            machine.due = self.now + self.period
        elif result.decision.next_end is not None and machine.due is None:
            machine.due = self.now + result.decision.next_end

    def record(self) -> None:
        """Add the state of now."""
        rules = {
            (ADDRESSES[name], rule.key.node_port): f"{rule.pod_ip}:{rule.pod_port}"
            for name, machine in self.machines.items()
            for rule in tree.live(machine.node.tables["IPv4"], "IPv4")
        }
        serving = {life.name: f"{life.ip}:{PORT}" for life in self.deployment.lives if podlife.serves(life, self.now)}
        self.frames.append(Frame(self.now, self.cluster.state.pods, rules, serving))


def _is_open(pod: Pod) -> bool:
    return pod.condition is not None and pod.condition.status == "True"


def simulate(story: Story, mode: Mode, shape: Shape, settings: Settings = SETTINGS, phase: float = 0.0) -> Simulation:
    """Return a story just before its event. phase: seconds by which the runs of a timer are later."""
    nodes = [worlds.node(name, [("InternalIP", address)]) for name, address in ADDRESSES.items()]
    cluster = FakeCluster(worlds.cluster(*nodes, *SERVICES), [])
    machines = {
        name: Machine(
            replace(settings, node=name, no_events=True), FakeNode([]), phase + number * (mode.period or 0) / 2
        )
        for number, name in enumerate(NODES)
    }
    made = Simulation(Deployment(story.replicas, shape, story.surge), mode.period, machines, cluster)
    _takes_time(made, cluster, "patch")
    for machine in machines.values():
        _takes_time(made, machine.node, "sync")
    made.change_cluster()
    made.run_until(START - QUIET)
    finish(made)
    return made


def _takes_time(simulation: Simulation, seam: Any, name: str) -> None:
    """Let a write of nplconf take time. What it wrote is seen at its end."""
    do: Callable[..., Any] = getattr(seam, name)

    def slow(*args: Any) -> Any:
        simulation.pass_time(WRITE)
        found = do(*args)
        simulation.change_cluster()
        return found

    setattr(seam, name, slow)


# --- stories ---------------------------------------------------------------------------------------------------------


def _roll(now: Simulation) -> Deployment:
    return now.deployment._replace(revision=now.deployment.revision + 1)


def _scale_up(now: Simulation) -> Deployment:
    return now.deployment._replace(replicas=now.deployment.replicas + 2)


def _scale_down(now: Simulation) -> Deployment:
    return now.deployment._replace(replicas=1)


def _drain(now: Simulation) -> Deployment:
    return now.deployment._replace(cordoned=frozenset(NODES[:1]))


def _delete(now: Simulation) -> Deployment:
    return now.deployment.put(now.deployment.lives[0]._replace(deleted=now.now))


def _crash(now: Simulation) -> Deployment:
    return now.deployment.put(now.deployment.lives[0]._replace(crashed=now.now))


def _restart(now: Simulation) -> Deployment:
    now.down_until = now.now + DOWN
    return _roll(now)


EVENTS: Mapping[Kind, Callable[[Simulation], Deployment]] = {
    "rolling": _roll,
    "scale-up": _scale_up,
    "scale-down": _scale_down,
    "drain": _drain,
    "delete": _delete,
    "crash": _crash,
    "restart": _restart,
}


def play(story: Story, mode: Mode, shape: Shape, settings: Settings = SETTINGS, phase: float = 0.0) -> Played:
    """Play a story to its end. See `simulate`."""
    now = simulate(story, mode, shape, settings, phase)
    began = now.now
    now.deployment = EVENTS[story.kind](now)
    now.change_cluster()
    finish(now)
    return Played(tuple(now.frames), began, now.now)


def finish(now: Simulation) -> None:
    """Let time pass until every Pod is available, and no load balancer has anything to learn any more."""
    while not deployment.is_done(now.deployment, now.now):
        now.run_until(now.now + 5)
        assert now.now < LIMIT, now.deployment
    now.run_until(now.now + QUIET)
