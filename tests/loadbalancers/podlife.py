"""What a kubelet does to one Pod over time. Pure: a Pod is a value, and all its facts are functions of the clock.

All times are seconds of one clock, all durations seconds.
"""

from collections.abc import Iterator
from typing import NamedTuple

from nplconf import model

ADDRESS = 0.5
"""From the creation of a Pod to its address."""
PROBE = 0.3
"""From the first answer of an application to ContainersReady."""
GATE = 0.1
"""From the condition of a readiness gate to Ready."""
NOTICE = 0.2
"""From the end of a process to the report of the kubelet."""
RESTART = 1.0
"""From the report of a crash to the start of the container."""
GONE = 0.1
"""From the end of a deleted Pod to the deletion of its object."""
PORT = 8080


class Shape(NamedTuple):
    """What the template of a Deployment says.

    Attributes:
        gate: The Pods have the readiness gate.
        min_ready: minReadySeconds.
        pre_stop: The sleep of the preStop hook.
        grace: terminationGracePeriodSeconds.
        start: Seconds from an application's start to its first answer.
        finish: Seconds in which it finishes its requests after SIGTERM. It takes no new ones.
    """

    gate: bool = True
    min_ready: float = 10.0
    pre_stop: float = 30.0
    grace: float = 60.0
    start: float = 0.5
    finish: float = 1.0


class Life(NamedTuple):
    """One Pod.

    Attributes:
        name: Its name, and part of its UID.
        node: The name of its node.
        ip: Its address.
        shape: What its template says.
        revision: Which template of the Deployment that is.
        created: When it was created.
        deleted: When it got its deletionTimestamp.
        crashed: When its process died.
        opened: When the condition of its readiness gate was set.
    """

    name: str
    node: str
    ip: str
    shape: Shape
    revision: int
    created: float
    deleted: float | None = None
    crashed: float | None = None
    opened: float | None = None


def milestones(life: Life) -> Iterator[float]:
    """Yield the times at which a fact of the Pod may change."""
    yield life.created + ADDRESS
    for began in _starts(life):
        yield from (began, began + PROBE, began + PROBE + life.shape.min_ready)
    if life.opened is not None:
        yield from (life.opened + GATE, life.opened + GATE + life.shape.min_ready)
    if life.crashed is not None:
        yield life.crashed + NOTICE
        yield life.crashed + NOTICE + RESTART
    if life.deleted is not None:
        yield from (_stopped(life), _ended(life), _ended(life) + GONE)


def has_address(life: Life, now: float) -> bool:
    """Return whether the Pod's address is in its status."""
    return now >= life.created + ADDRESS


def serves(life: Life, now: float) -> bool:
    """Return whether a new connection to the Pod is accepted."""
    if life.crashed is not None and life.crashed <= now < _starts(life)[-1]:
        return False
    return _starts(life)[0] <= now < _stopped(life)


def containers_ready(life: Life, now: float) -> bool:
    """Return the condition ContainersReady."""
    since = _containers_ready_since(life, now)
    return since is not None and now >= since


def ready_since(life: Life, now: float) -> float | None:
    """Return since when the Pod has the condition Ready; None if it does not have it."""
    since = _containers_ready_since(life, now)
    if life.shape.gate:
        since = max(since, life.opened + GATE) if since is not None and life.opened is not None else None
    return since if since is not None and now >= since else None


def containers_ended(life: Life, now: float) -> bool:
    """Return whether the status says that no container runs."""
    if life.deleted is not None and now >= _ended(life):
        return True
    return life.crashed is not None and life.crashed + NOTICE <= now < life.crashed + NOTICE + RESTART


def gone(life: Life, now: float) -> bool:
    """Return whether the object has been deleted."""
    return life.deleted is not None and now >= _ended(life) + GONE


def observed(life: Life, now: float, written: model.Pod | None) -> model.Pod:
    """Return the object of the API server. written: the object before, with what nplconf wrote."""
    placed = has_address(life, now)
    return model.Pod(
        ref=model.PodRef("shop", life.name, f"uid-{life.name}"),
        node=life.node,
        labels={"app": "web"},
        phase="Running" if placed else "Pending",
        ips=(life.ip,) if placed else (),
        annotation=written.annotation if written else None,
        terminating=life.deleted is not None,
        containers_ended=containers_ended(life, now),
        containers_ready=containers_ready(life, now),
        gated=life.shape.gate,
        condition=written.condition if written else None,
        ready=ready_since(life, now) is not None,
    )


def _starts(life: Life) -> tuple[float, ...]:
    """Return when the process began to answer, each time."""
    first = life.created + ADDRESS + life.shape.start
    return (first,) if life.crashed is None else (first, life.crashed + NOTICE + RESTART + life.shape.start)


def _containers_ready_since(life: Life, now: float) -> float | None:
    """Return since when, or from when on, the containers are ready; None while a crash or the end is known."""
    if life.deleted is not None and now >= _ended(life):
        return None
    began = _starts(life)[-1] if life.crashed is not None and now >= life.crashed + NOTICE else _starts(life)[0]
    # an application that was stopped before its first answer never becomes ready
    return began + PROBE if began < _stopped(life) else None


def _stopped(life: Life) -> float:
    """Return when the process takes no new connection any more."""
    if life.deleted is None:
        return float("inf")
    return life.deleted + min(life.shape.pre_stop, life.shape.grace)


def _ended(life: Life) -> float:
    """Return when the kubelet reports the end of a deleted Pod."""
    assert life.deleted is not None
    return life.deleted + min(life.shape.pre_stop + life.shape.finish, life.shape.grace) + NOTICE
