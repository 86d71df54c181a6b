"""The events that wake the loop of watch mode."""

import pytest
import worlds

from nplconf.watch import pace
from nplconf.watch.hub import Hub
from nplconf.watch.mirror import Mirror


class Clock:
    """A clock that is moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def hub() -> tuple[Hub, Clock]:
    clock = Clock()
    return Hub(Mirror.of_node("worker-1"), clock), clock


def test_a_moment_that_is_known_in_advance_wakes_the_loop_once() -> None:
    found, clock = hub()
    found.wake(60)
    clock.now += 60
    assert found.wait(clock.now + 1000) == {"time"}
    assert found.wait(clock.now) == {"resync"}


def test_a_run_that_knows_no_moment_takes_the_last_one_back() -> None:
    found, clock = hub()
    found.wake(60)
    found.wake(None)
    clock.now += 60
    assert found.wait(clock.now) == {"resync"}


def test_a_moment_in_the_past_is_due_at_once() -> None:
    found, clock = hub()
    found.wake(0)
    assert found.wait(clock.now + 1000) == {"time"}


def test_what_makes_a_pod_published_makes_a_run_due() -> None:
    found, clock = hub()
    raw = {
        "metadata": {"namespace": "shop", "name": "web-0", "uid": "u"},
        "spec": {"nodeName": "worker-1", "readinessGates": [{"conditionType": "nplconf.io/published"}]},
        "status": {"phase": "Running", "conditions": []},
    }
    found.event("pods", "ADDED", raw)
    clock.now += 1
    assert found.wait(clock.now + 1000) == {"pods"}
    for status in ("True", "False"):
        ready = {"phase": "Running", "conditions": [{"type": "ContainersReady", "status": status}]}
        found.event("pods", "MODIFIED", raw | {"status": ready})
        clock.now += 1
        assert found.wait(clock.now + 1000) == ({"pods"})


def busy(found: Hub) -> bool:
    return found.busy


def test_a_new_pod_without_an_address_waits_for_it_and_an_address_for_nothing() -> None:
    found, clock = hub()
    began = clock.now
    found.event("pods", "ADDED", worlds.raw_pod("web-0", ()))
    assert not busy(found)
    clock.now += 0.02
    assert found.wait(clock.now - 1) == {"pods", "resync"}, "it is not lost when a run is due anyway"
    found.event("pods", "ADDED", worlds.raw_pod("web-1", ()))
    clock.now += 0.02
    found.event("pods", "MODIFIED", worlds.raw_pod("web-1", ("10.244.3.18",)))
    assert busy(found)
    clock.now += pace.AT_ONCE.quiet
    assert found.wait(clock.now + 1000) == {"pods"}
    assert found.began == pytest.approx(began + 0.04), "what is published began with its address"


def test_an_event_after_a_pause_starts_a_run_at_once_and_one_soon_after_waits_for_others() -> None:
    found, clock = hub()
    for name in ("web-0", "web-1"):
        found.event("pods", "ADDED", worlds.raw_pod(name, ("10.244.3.17",)))
        assert found.wait(clock.now + 1000) == {"pods"}
        clock.now += pace.AT_ONCE.pause
    found.event("pods", "ADDED", worlds.raw_pod("web-2", ("10.244.3.18",)))
    assert found.wait(clock.now + 1000) == {"pods"}
    found.event("pods", "ADDED", worlds.raw_pod("web-3", ("10.244.3.19",)))
    assert found.wait(clock.now) == {"pods", "resync"}, "the event is seen by the run that is due anyway"
    found.event("pods", "ADDED", worlds.raw_pod("web-4", ("10.244.3.20",)))
    assert found.busy
    clock.now += pace.AT_ONCE.quiet
    assert found.wait(clock.now + 1000) == {"pods"}
