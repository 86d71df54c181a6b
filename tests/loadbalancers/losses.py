"""What a load balancer with a latency loses in a story that was played. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from loadbalancers.podlife import PORT
from loadbalancers.readers import Member, Reader, is_endpoint
from loadbalancers.simulation import Frame, Played

RATE = 25.0
"""Requests in a second. They go to the members in turns."""


class Lag(NamedTuple):
    """Seconds from a change of the cluster until the load balancer has added or removed a member."""

    add: float
    remove: float


class Loss(NamedTuple):
    """What was lost.

    Attributes:
        lost: Requests.
        empty: Seconds without any member while a Pod is ready.
        dead: Seconds with a member that refuses.
    """

    lost: float = 0.0
    empty: float = 0.0
    dead: float = 0.0


Span = tuple[Member, float, float]
"""A member, and from when to when it is one."""


def judge(played: Played, reader: Callable[[], Reader], lag: Lag, port: int = PORT) -> Loss:
    """Return what the pool of one port loses."""
    pool = [
        (member, began + lag.add, ended + lag.remove)
        for member, began, ended in spans(played.frames, reader())
        if member.pod_port == port
    ]
    times = [frame.at for frame in played.frames]
    edges = {*times, *(at for _, *both in pool for at in both), played.began, played.ended}
    inside = sorted(at for at in edges if played.began <= at <= played.ended)
    total = Loss()
    for at, until in pairwise(inside):
        frame = played.frames[bisect_right(times, at) - 1]
        members = {member for member, began, ended in pool if began <= at < ended}
        total = _plus(total, _loss(frame, members), until - at)
    return total


def spans(frames: Iterable[Frame], reader: Reader) -> Iterator[Span]:
    """Yield each member that a reader without latency has, with its times."""
    since: dict[Member, float] = {}
    for frame in frames:
        members = reader.look(frame.pods)
        for member in [member for member in since if member not in members]:
            yield member, since.pop(member), frame.at
        since |= {member: frame.at for member in members if member not in since}
    yield from ((member, began, float("inf")) for member, began in since.items())


def refuses(frame: Frame, member: Member) -> bool:
    """Return whether a request to a member does not reach its Pod."""
    target = frame.rules.get((member.node_ip, member.node_port))
    return target is None or frame.serving.get(member.pod) != target


def _loss(frame: Frame, members: set[Member]) -> Loss:
    """Return what is lost in one second of a state."""
    dead = sum(refuses(frame, member) for member in members)
    ready = any(map(is_endpoint, frame.pods))
    return Loss(RATE * (dead / len(members) if members else 1.0), float(ready and not members), float(dead > 0))


def _plus(total: Loss, each: Loss, seconds: float) -> Loss:
    return Loss(*(one + seconds * more for one, more in zip(total, each, strict=True)))


def worst(found: Iterable[Loss]) -> Loss:
    """Return the highest figure of each kind."""
    return Loss(*map(max, zip(*found, strict=True)))
