"""Runs on the mirror: the events of their own patches, when they create Events, and what they use again."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import worlds
from seams import FakeCluster
from watchjob import WatchedWorld, served

from nplconf.desired.render import render
from nplconf.desired.services import Selection, select
from nplconf.errors import StoppedError
from nplconf.model import Event, Failure, Patch, Service
from nplconf.watch.cluster import POST_WITHIN, WatchedCluster
from nplconf.watch.hub import Hub
from nplconf.watch.mirror import Mirror

EVENT = Event("Pod", "shop", "web-0", "uid-web-0", "topic", "value", "Reason", "note")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedWorld:
    return served(tmp_path, monkeypatch)


def test_events_wait_for_the_run_that_publishes_what_came_meanwhile(world: WatchedWorld) -> None:
    before = len(world.written.events)
    world.event(worlds.raw_pod("web-1", ()), "ADDED")
    world.hub.wait(0)
    world.event(worlds.raw_pod("web-1", ("10.244.3.18",)))  # it comes while the run for the first event goes on
    world.job.run(frozenset({"pods"}))
    assert len(world.written.events) == before
    world.run()
    assert [event.reason for event in world.written.events[before:]] == ["NodePortMapped"]


class Echoing(FakeCluster):
    """An API server whose event of a patch comes before the response to it."""

    def __init__(self, world: WatchedWorld, extra: Mapping[str, Any]) -> None:
        super().__init__(worlds.cluster(), world.journal)
        self._world, self._extra = world, extra

    def patch(self, patches: Sequence[Patch]) -> tuple[Failure, ...]:
        """See `Cluster`."""
        for patch in patches:
            raw = worlds.raw_pod(patch.pod.name, annotations={worlds.ANNOTATION: patch.annotation or ""})
            self._world.event({**raw, **self._extra})
        return super().patch(patches)


@pytest.mark.parametrize(
    ("extra", "starts"), [({}, False), ({"status": {"phase": "Running", "podIP": "10.244.3.9"}}, True)]
)
def test_the_event_of_our_own_patch_starts_no_run_even_before_its_response(
    world: WatchedWorld, extra: Mapping[str, Any], *, starts: bool
) -> None:
    cluster = WatchedCluster(world.hub, Echoing(world, extra))
    cluster.patch([Patch(worlds.ref(), "[]")])
    assert world.annotation() == "[]"
    assert (world.hub.wait(0) == {"resync"}) is not starts, "whatever else has changed starts one"
    world.event(worlds.raw_pod(annotations={worlds.ANNOTATION: "[1]"}))
    assert "pods" in world.hub.wait(0), "the next event is of another writer"


def test_the_event_of_a_patch_without_a_result_starts_a_run(
    world: WatchedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(_patches: Sequence[Patch]) -> None:
        raise StoppedError

    broken = FakeCluster(worlds.cluster(), world.journal)
    monkeypatch.setattr(broken, "patch", ends)
    with pytest.raises(StoppedError):
        WatchedCluster(world.hub, broken).patch([Patch(worlds.ref(), "[]")])
    world.event(worlds.raw_pod(annotations={worlds.ANNOTATION: "[]"}))
    assert "pods" in world.hub.wait(0)


def test_a_cluster_that_changes_all_the_time_delays_events_for_a_moment_only() -> None:
    now = [100.0]
    hub = Hub(Mirror.of_node(worlds.NODE), lambda: now[0])
    written = FakeCluster(worlds.cluster(), [])
    cluster = WatchedCluster(hub, written, lambda: now[0])
    hub.drifted()
    assert cluster.post_events([EVENT], worlds.NODE) == (EVENT,)
    now[0] += POST_WITHIN / 2
    assert cluster.post_events([EVENT], worlds.NODE) == (EVENT,)
    now[0] += POST_WITHIN / 2
    assert cluster.post_events([EVENT], worlds.NODE) == ()
    assert written.events == [EVENT]
    assert cluster.post_events([EVENT], worlds.NODE) == (EVENT,), "the next ones may be delayed again"


def test_services_are_prepared_again_when_one_has_changed(world: WatchedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[int] = []

    def counted(services: tuple[Service, ...], *protocols: Any) -> Selection:
        prepared.append(len(services))
        return select(services, *protocols)

    monkeypatch.setattr(sys.modules[render.__module__], "select", counted)
    world.run("resync")
    world.event(worlds.raw_pod("web-1", ("10.244.3.18",)), "ADDED")
    world.run()
    world.run("resync")
    assert prepared == [1]
    world.event(worlds.raw_service("other"), "ADDED")
    world.run("services")
    world.run("resync")
    assert prepared == [1, 2]
