"""Complete runs with a cluster and a node in memory."""

import json
from dataclasses import replace

from seams import FakeCluster, FakeNode
from worlds import NODE, cluster, node, pod

from nplconf.model import Pod
from nplconf.run.decision import UNBOUND, Bounds
from nplconf.run.outcome import Result
from nplconf.run.reconcile import apply
from nplconf.settings import Settings

SETTINGS = Settings(node=NODE)


class World:
    """A cluster, a node, and what was written to them."""

    def __init__(self, *objects: object, **kwargs: object) -> None:
        self.journal: list[str] = []
        self.cluster = FakeCluster(cluster(node(), *objects), self.journal)  # type: ignore[arg-type]
        self.node = FakeNode(self.journal, **kwargs)  # type: ignore[arg-type]

    settings = SETTINGS

    def apply(self, settings: Settings = SETTINGS, bounds: Bounds = UNBOUND) -> Result:
        self.journal.clear()
        return apply(self.cluster, self.node, settings, bounds)

    def entries(self, name: str = "web-0") -> list[tuple[int, int]]:
        """(podPort, nodePort) as a load balancer reads them."""
        text = self.cluster.annotation(name)
        return [(e["podPort"], e["nodePort"]) for e in json.loads(text)] if text else []

    def change(self, **changes: object) -> None:
        self.cluster.state = replace(self.cluster.state, **changes)  # type: ignore[arg-type]

    def pods(self, *pods: Pod) -> None:
        self.change(pods=pods)


def many(count: int) -> list[Pod]:
    return [pod(f"web-{i}", (f"10.244.3.{i + 1}",)) for i in range(count)]
