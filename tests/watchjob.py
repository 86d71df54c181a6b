"""Runs of watch mode with a cluster and a node in memory: raw objects arrive as events, patches are recorded."""

import argparse
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import worlds
from seams import FakeCluster, FakeNode

from nplconf.cli.inputs import FollowedInputs
from nplconf.cli.job import WatchJob
from nplconf.cli.options import resolve
from nplconf.node.linux import LinuxNode
from nplconf.node.state import FILE
from nplconf.plan.state import State
from nplconf.watch.cluster import WatchedCluster
from nplconf.watch.hub import Hub
from nplconf.watch.mirror import Mirror, Resource

KINDS: dict[str, Resource] = {"Service": "services", "Node": "nodes", "Pod": "pods"}


@dataclass
class FiledNode(FakeNode):
    """A node whose state is in memory and whose state file shows that it was written."""

    file: Path = Path("/nowhere")
    reads: int = 0
    _versions: Iterable[int] = field(default_factory=itertools.count)

    def save(self, state: State, before: str) -> str:
        text = super().save(state, before)
        if text != before:
            self.file.unlink(missing_ok=True)
            self.file.write_text(str(next(iter(self._versions))))
        return text

    def read(self, *, whole: bool = False) -> Any:
        self.reads += 1
        return super().read(whole=whole)


class WatchedWorld:
    """Watch mode without its threads: `event` is what the API server sends, `run` what the loop does then."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        directory.chmod(0o700)
        self.journal: list[str] = []
        config = directory / "config.yaml"
        config.write_text(f"stateDir: {directory}\nnode: {worlds.NODE}\n")
        self.node = FiledNode(self.journal, file=directory / FILE)
        self.written = FakeCluster(worlds.cluster(), self.journal)
        self.hub = Hub(Mirror.of_node(worlds.NODE))
        self.cluster = WatchedCluster(self.hub, self.written)
        monkeypatch.setattr(LinuxNode, "open", lambda *_: self.node)
        given = argparse.Namespace(plan=None, config=str(config))
        self.job = WatchJob(FollowedInputs(given, resolve(vars(given), {})), self.hub, self.cluster)
        for resource in self.hub.mirror.objects:
            self.hub.replace(resource, [worlds.raw_node()] if resource == "nodes" else [])

    def event(self, raw: dict[str, Any], kind: str = "MODIFIED") -> None:
        """One event of the API server."""
        self.hub.event(KINDS[raw["kind"]], kind, raw)

    def run(self, *causes: str) -> str:
        """One run of the loop."""
        self.journal.clear()
        self.hub.wait(0)
        return self.job.run(frozenset(causes or ("pods",)))

    def annotation(self, name: str = "web-0") -> str:
        """The annotation of a Pod, as the mirror has it."""
        pod: Any = self.hub.mirror.objects["pods"][f"shop/{name}"]
        return pod.annotation or "[]"


def served(directory: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedWorld:
    """A node with one Pod that is published."""
    made = WatchedWorld(directory, monkeypatch)
    made.event(worlds.raw_service(), "ADDED")
    made.event(worlds.raw_pod(), "ADDED")
    assert made.run("resync") == "1 mappings in place, last exit code 0", made.journal
    return made
