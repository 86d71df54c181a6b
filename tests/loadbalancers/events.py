"""The stories and modes, as data. `stories` plays them with real load balancers, `simulation` in virtual time."""

from typing import Literal, NamedTuple

PERIOD = 10.0
"""Seconds between two runs in timer mode."""

Kind = Literal["rolling", "scale-up", "scale-down", "drain", "delete", "crash", "restart"]


class Mode(NamedTuple):
    """How nplconf runs, and whether Pods have the readiness gate. period: None for `watch`."""

    name: str
    period: float | None
    gate: bool


MODES = (
    Mode("watch, gate", None, gate=True),
    Mode("watch", None, gate=False),
    Mode("timer, gate", PERIOD, gate=True),
    Mode("timer", PERIOD, gate=False),
)


class Story(NamedTuple):
    """An event.

    Attributes:
        name: As the tables show it.
        kind: What happens.
        replicas: Pods at its beginning.
        surge: maxSurge of a rolling update. maxUnavailable is 1 if it is 0, else 0.
        pre_stop: Seconds between the deletion of a Pod and the end of its process.
    """

    name: str
    kind: Kind
    replicas: int
    surge: int = 1
    pre_stop: float = 5.0


def rolling(replicas: int, surge: int) -> Story:
    plural = "s" * (replicas > 1)
    return Story(f"rolling update, {replicas} replica{plural}, surge {surge}", "rolling", replicas, surge)


STORIES = (
    *(rolling(replicas, surge) for replicas in (1, 2, 10) for surge in (0, 1)),
    Story("scale up, 1 to 3", "scale-up", 1),
    Story("scale down, 3 to 1", "scale-down", 3),
    Story("node drain, 2 replicas", "drain", 2),
    Story("Pod deleted, preStop", "delete", 2),
    Story("Pod deleted, no preStop", "delete", 2, pre_stop=0.0),
    Story("Pod crash", "crash", 2),
    Story("nplconf restarted", "restart", 2),
)
