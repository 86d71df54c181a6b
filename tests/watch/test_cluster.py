"""When watch mode creates the Events of a run."""

from pathlib import Path

import pytest
import worlds
from seams import FakeCluster
from watchjob import WatchedWorld, served

from nplconf.model import Event
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
