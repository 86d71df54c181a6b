"""What the controllers do to the Pods of a Deployment: rollouts, scaling, evictions, replacements. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from loadbalancers.podlife import Life, Shape, gone, milestones, ready_since

NODES = ("node-a", "node-b")


class Deployment(NamedTuple):
    """A Deployment and its Pods.

    Attributes:
        replicas: How many Pods it wants.
        shape: Its template.
        surge: maxSurge. maxUnavailable is 1 if it is 0, else 0.
        revision: The number of its template.
        cordoned: Nodes that are drained, under a PodDisruptionBudget with maxUnavailable 1.
        lives: Its Pods, the oldest first. Deleted ones are among them until their objects are gone.
        made: How many Pods it has had.
    """

    replicas: int
    shape: Shape
    surge: int = 1
    revision: int = 1
    cordoned: frozenset[str] = frozenset()
    lives: tuple[Life, ...] = ()
    made: int = 0

    @property
    def active(self) -> tuple[Life, ...]:
        """The Pods that are not deleted."""
        return tuple(life for life in self.lives if life.deleted is None)

    def put(self, life: Life) -> "Deployment":
        """Return it with new facts about one Pod."""
        return self._replace(lives=tuple(life if one.name == life.name else one for one in self.lives))


def step(deployment: Deployment, now: float) -> Deployment:
    """Return what the controllers have made of it at this moment."""
    left = tuple(life for life in deployment.lives if not gone(life, now))
    before, after = None, deployment._replace(lives=left)
    while after != before:
        before, after = after, _scaled(_rolled(_evicted(after, now), now), now)
    return after


def is_done(deployment: Deployment, now: float) -> bool:
    """Return whether every Pod is available and of the last template, and no Pod is ending."""
    return len(deployment.lives) == deployment.replicas and all(
        life.revision == deployment.revision and is_available(life, now) and life.node not in deployment.cordoned
        for life in deployment.lives
    )


def is_available(life: Life, now: float) -> bool:
    """Return whether a Pod has been Ready for minReadySeconds."""
    since = ready_since(life, now)
    return since is not None and now >= since + life.shape.min_ready


def next_change(deployment: Deployment, now: float) -> float:
    """Return when the next fact about a Pod changes by itself."""
    return min((at for life in deployment.lives for at in milestones(life) if at > now), default=float("inf"))


def _evicted(deployment: Deployment, now: float) -> Deployment:
    """Evict one Pod of a cordoned node. The budget counts Ready Pods; it does not know minReadySeconds."""
    here = [life for life in deployment.active if life.node in deployment.cordoned]
    ready = [life for life in deployment.active if ready_since(life, now) is not None]
    if not here or len(ready) < deployment.replicas:
        return deployment
    return deployment.put(here[0]._replace(deleted=now))


def _rolled(deployment: Deployment, now: float) -> Deployment:
    """Take one step of a rolling update."""
    new = [life for life in deployment.active if life.revision == deployment.revision]
    old = [life for life in deployment.active if life.revision != deployment.revision]
    if not old:
        return deployment
    if len(new) < deployment.replicas and len(deployment.active) < deployment.replicas + deployment.surge:
        return _created(deployment, now)
    least = deployment.replicas - (0 if deployment.surge else 1)
    spare = len(deployment.active) - least - sum(not is_available(life, now) for life in new)
    unhealthy = [life for life in old if not is_available(life, now)]
    if unhealthy and spare > 0:
        return deployment.put(unhealthy[0]._replace(deleted=now))
    if sum(is_available(life, now) for life in deployment.active) > least:
        return deployment.put(old[0]._replace(deleted=now))
    return deployment


def _scaled(deployment: Deployment, now: float) -> Deployment:
    """Create or delete one Pod where no rolling update goes on."""
    if any(life.revision != deployment.revision for life in deployment.active):
        return deployment
    if len(deployment.active) < deployment.replicas:
        return _created(deployment, now)
    if len(deployment.active) > deployment.replicas:
        return deployment.put(next(_expendable(deployment, now))._replace(deleted=now))
    return deployment


def _expendable(deployment: Deployment, now: float) -> Iterator[Life]:
    """Yield the Pods in the order in which a ReplicaSet deletes them: not ready before ready, new before old."""
    yield from sorted(deployment.active, key=lambda life: (ready_since(life, now) is not None, -life.created))


def _created(deployment: Deployment, now: float) -> Deployment:
    """Create one Pod on the node with the fewest."""
    free = [node for node in NODES if node not in deployment.cordoned]
    node = min(free, key=lambda name: sum(life.node == name for life in deployment.active))
    number = deployment.made
    ip = f"10.244.{NODES.index(node) + 1}.{number % 250 + 1}"
    life = Life(f"web-{number}", node, ip, deployment.shape, deployment.revision, now)
    return deployment._replace(lives=(*deployment.lives, life), made=number + 1)
