"""AKO and F5 as small models, driven through rollouts and drains against whole runs.

At no instant is a pool empty while a Pod is ready, or a member a port that refuses. Each write of a run is an instant,
and the readers have no latency. tests/loadbalancers/test_models.py has them with their latency, in virtual time.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from inmemory import SETTINGS, World
from loadbalancers.readers import F5, Ako, OldAko, Reader, entries
from worlds import pod, service

from nplconf.model import Pod
from nplconf.settings import Settings


def is_ready(one: Pod) -> bool:
    """As the kubelet computes it: the containers and the gate."""
    return one.containers_ready and not one.terminating and (not one.gated or _is_open(one))


def _is_open(one: Pod) -> bool:
    return one.condition is not None and one.condition.status == "True"


class Story:
    """A cluster that changes step by step, with nplconf run after each, seen by both readers at each instant."""

    def __init__(self, settings: Settings = SETTINGS, *services: Any) -> None:
        self.world = World(*(services or (service(),)))
        self.settings = settings
        self.readers: tuple[Reader, ...] = (Ako(), OldAko(), F5())
        self.instants = 0
        self.was_ready = False
        cluster, node = self.world.cluster, self.world.node
        self._watch(cluster, "patch")
        self._watch(node, "sync")

    def _watch(self, seam: Any, name: str) -> None:
        do: Callable[..., Any] = getattr(seam, name)

        def seen(*args: Any) -> Any:
            found = do(*args)
            self.look()
            return found

        setattr(seam, name, seen)

    @property
    def pods(self) -> dict[str, Pod]:
        return {one.ref.name: one for one in self.world.cluster.state.pods}

    def look(self) -> None:
        """Judge this instant."""
        self.instants += 1
        open_ports = set(self.world.node.numbers())
        alive = {name for name, one in self.pods.items() if not one.terminated}
        ready = {name for name, one in self.pods.items() if is_ready(one)}
        asked = any(one.enabled for one in self.world.cluster.state.services)
        for reader in self.readers:
            members = reader.look(tuple(replace(one, ready=one.ref.name in ready) for one in self.pods.values()))
            refusing = {m for m in members if m.node_port not in open_ports or m.pod not in alive}
            assert not refusing, (reader, refusing)
            assert members or not ready or not asked, (reader, ready)

    def change(self, *pods: Pod) -> None:
        self.world.pods(*pods)
        self.look()
        self.world.apply(self.settings)
        self.look()

    def edit(self, name: str, **changes: Any) -> None:
        self.change(*(replace(one, **changes) if one.ref.name == name else one for one in self.pods.values()))

    def start(self, name: str, number: int) -> None:
        """A Pod is created, gets an address, and its containers become ready."""
        self.change(*self.pods.values(), pod(name, (), gated=True, phase="Pending"))
        self.edit(name, ips=(f"10.244.3.{number}",), phase="Running")
        self.edit(name, containers_ready=True)

    def stop(self, name: str) -> None:
        """A Pod is deleted: preStop runs, its containers end, it is gone."""
        self.edit(name, terminating=True)
        self.edit(name, containers_ready=False)
        self.edit(name, containers_ended=True)
        self.change(*(one for key, one in self.pods.items() if key != name))


def rolled(story: Story, replicas: int) -> Iterator[tuple[str, str]]:
    for i in range(replicas):
        story.start(f"old-{i}", i + 1)
    for i in range(replicas):
        yield f"old-{i}", f"new-{i}"


SETTINGS_OF = {
    "as shipped": SETTINGS,
    "containers-ready": replace(SETTINGS, publish_when="containers-ready"),
    "linger": replace(SETTINGS, linger=60),
    "per-protocol": replace(SETTINGS, annotation_entries="per-protocol"),
}


@pytest.mark.parametrize("settings", SETTINGS_OF.values(), ids=SETTINGS_OF)
@pytest.mark.parametrize("replicas", [1, 2, 10])
def test_a_rolling_update(replicas: int, settings: Settings) -> None:
    story = Story(settings)
    for i, (old, new) in enumerate(rolled(story, replicas)):
        story.start(new, 100 + i)
        assert is_ready(story.pods[new])  # only then does a Deployment delete an old one
        story.stop(old)
    assert sorted(story.pods) == sorted(f"new-{i}" for i in range(replicas))
    assert story.instants > 10 * replicas


def test_a_drain_of_all_pods() -> None:
    story = Story()
    list(rolled(story, 3))
    for i in range(3):
        story.stop(f"old-{i}")
    assert story.world.node.numbers() == []


def test_a_crash_takes_no_other_pod_along() -> None:
    story = Story()
    list(rolled(story, 2))
    story.edit("old-0", containers_ready=False)
    story.edit("old-0", containers_ready=True)
    assert len(story.world.node.numbers()) == 2


def test_scaling_up_and_down() -> None:
    story = Story()
    list(rolled(story, 5))
    for i in reversed(range(1, 5)):
        story.stop(f"old-{i}")
    story.start("old-9", 9)
    assert len(story.world.node.numbers()) == 2


@pytest.mark.parametrize("linger", [0, 60])
def test_one_of_two_services_is_dropped(linger: int) -> None:
    web, api = service("web"), service("api", [(9000, "TCP")])
    story = Story(replace(SETTINGS, linger=linger), web, api)
    list(rolled(story, 2))
    before = {name: one.condition for name, one in story.pods.items()}
    story.world.change(services=(web,))
    story.change(*story.pods.values())
    assert {name: one.condition for name, one in story.pods.items()} == before
    assert {m.pod_port for one in story.pods.values() for m in entries(one)} == {8080}


def test_a_number_that_moves() -> None:
    story = Story()
    list(rolled(story, 2))
    old = story.world.node.numbers()[0]
    story.world.change(services=(service(), service("thief", enabled=False, selector={}, node_port=old)))
    story.change(*story.pods.values())
    assert old not in story.world.node.numbers()


def test_the_models_see_what_was_wrong_before() -> None:
    """A removed key is invisible to AKO, and a rule that goes with the deletion leaves F5 a dead port."""
    story = Story(replace(SETTINGS, withdraw_as="remove"))
    list(rolled(story, 2))
    story.world.change(services=())
    with pytest.raises(AssertionError, match="Ako"):
        story.change(*story.pods.values())


def test_no_reader_makes_a_member_twice() -> None:
    both = [(8080, "TCP"), (8080, "UDP")]
    story = Story(SETTINGS, service("web", both))
    list(rolled(story, 1))
    assert len(json.loads(story.pods["old-0"].annotation or "")) == 1
