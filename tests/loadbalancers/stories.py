"""Events in the life of a Service's Pods while clients send requests through real load balancers, and the lost
requests.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import kube

from loadbalancers import balancers
from loadbalancers.balancers import Balancer
from loadbalancers.events import Kind, Mode, Story
from loadbalancers.pods import Deployment, Shape, wait
from loadbalancers.site import HERE, Job, Site, site

if TYPE_CHECKING:
    import subprocess

RATE = 25.0
"""Requests in a second, of each client."""
QUIET = 1.0


class Lost(NamedTuple):
    """What a client lost. empty: seconds without any server; dead: seconds in which a server refused."""

    reader: str
    requests: int
    lost: int
    empty: float
    dead: float


@dataclass(slots=True)
class Stage:
    """One story's site, Pods, jobs and load balancers."""

    site: Site
    deployment: Deployment
    balancers: list[Balancer]


# --- events ----------------------------------------------------------------------------------------------------------


def _roll(stage: Stage, story: Story) -> None:
    stage.deployment.update(story.surge, 1.0)


def _scale_up(stage: Stage, _story: Story) -> None:
    for pod in stage.deployment.add(2):
        wait(pod.ready)


def _scale_down(stage: Stage, _story: Story) -> None:
    for pod in stage.deployment.pods[1:]:
        stage.deployment.remove(pod)


def _drain(stage: Stage, _story: Story) -> None:
    stage.deployment.drain(stage.site.machines[0], 1.0)


def _crash(stage: Stage, _story: Story) -> None:
    stage.deployment.pods[0].crash()


def _delete(stage: Stage, _story: Story) -> None:
    stage.deployment.remove(stage.deployment.pods[0])
    wait(stage.deployment.add()[0].ready)


def _restart(stage: Stage, _story: Story) -> None:
    """The jobs are killed and started again, during a rolling update."""
    for machine in stage.site.machines:
        if machine.job:
            machine.job.stop()
    time.sleep(0.5)
    (new,) = stage.deployment.add()
    for machine in stage.site.machines:
        if machine.job:
            machine.job.start()
    wait(new.ready)
    time.sleep(1.0)
    stage.deployment.remove(stage.deployment.pods[0])


EVENTS: Mapping[Kind, Callable[[Stage, Story], None]] = {
    "rolling": _roll,
    "scale-up": _scale_up,
    "scale-down": _scale_down,
    "drain": _drain,
    "delete": _delete,
    "crash": _crash,
    "restart": _restart,
}


# --- measuring -------------------------------------------------------------------------------------------------------


def play(story: Story, mode: Mode, plane: kube.ControlPlane, directory: Path) -> list[Lost]:
    """Play one story from nothing; what each client lost."""
    with set_up(story, mode, plane, directory) as stage, _clients(stage) as clients:
        time.sleep(QUIET)
        before = list(stage.deployment.pods)
        EVENTS[story.kind](stage, story)
        for pod in before:
            if pod.deleted:
                wait(pod.gone)
        time.sleep(QUIET + (mode.period or 0.0))
        for client in clients.values():
            client.terminate()
            client.wait(10)
        return [_lost(name, directory / f"client-{name}.log") for name in clients]


@contextlib.contextmanager
def set_up(story: Story, mode: Mode, plane: kube.ControlPlane, directory: Path) -> Iterator[Stage]:
    """The Pods are ready and in the load balancers when the body begins."""
    with site(directory, plane) as made:
        made.area.service()
        for machine in made.machines:
            machine.job = Job(made, machine, mode.period)
        deployment = Deployment(made, Shape(mode.gate, story.pre_stop), list(made.machines))
        try:
            for pod in deployment.add(story.replicas):
                wait(pod.ready)
            with balancers.running(made) as found:
                _await_members(found, story.replicas)
                yield Stage(made, deployment, found)
        finally:
            for pod in deployment.pods:
                pod.stop()


def _await_members(found: list[Balancer], count: int) -> None:
    until = time.monotonic() + 30
    while any(balancer.members() < count for balancer in found):
        assert time.monotonic() < until, "the load balancers do not get the Pods"
        time.sleep(0.1)
    time.sleep(0.5)


@contextlib.contextmanager
def _clients(stage: Stage) -> Iterator[Mapping[str, "subprocess.Popen[bytes]"]]:
    found: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for balancer in stage.balancers:
            for how in ("close", "keep"):
                name = f"{balancer.name}, {'keep-alive' if how == 'keep' else 'close'}"
                argv = [sys.executable, "-E", str(HERE / "client.py"), str(balancer.port), str(RATE), how]
                found[name] = stage.site.start(stage.site.client, *argv, log=f"client-{name}.log")
        yield found
    finally:
        for client in found.values():
            client.kill()
            client.wait()


def _lost(name: str, log: Path) -> Lost:
    outcomes = [json.loads(line) for line in log.read_text().splitlines()]
    bad = [one["outcome"] for one in outcomes if one["outcome"] != "ok"]
    return Lost(name, len(outcomes), len(bad), bad.count("empty") / RATE, (len(bad) - bad.count("empty")) / RATE)
