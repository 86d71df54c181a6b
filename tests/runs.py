"""Complete runs in the test's process, on the real kernel of a namespace, with a cluster in memory."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from netns import World, inside
from seams import FakeCluster
from worlds import NODE, cluster, node, pod, service

from nplconf.model import Backend, ClusterState, PortRange
from nplconf.node.linux import LinuxNode
from nplconf.run.outcome import Result
from nplconf.run.reconcile import apply, review
from nplconf.run.verify import Verified, verify
from nplconf.settings import Settings

NAMES: dict[str, Backend] = {"nft": "iptables-nft", "legacy": "iptables-legacy", "nftables": "nftables"}
RANGE = PortRange(61000, 61015)
FULL = cluster(
    node(),
    *(pod(f"web-{i}", (f"10.244.0.{i + 1}", f"fd00:244::{i + 1}")) for i in range(4)),
    service("web", [(80, "TCP"), (53, "UDP")], families=("IPv4", "IPv6")),
)
"""Four Pods, two ports each, both families."""


@dataclass(slots=True, repr=False)
class Runs:
    """A node that is run on again and again. seconds: what each run took."""

    world: World
    settings: Settings
    cluster: FakeCluster
    seconds: list[float]

    @classmethod
    def on(cls, world: World, port_range: PortRange = RANGE) -> "Runs":
        """Runs with a state directory of their own."""
        state = world.directory / "state"
        state.mkdir()
        settings = Settings(
            node=NODE,
            port_range=port_range,
            state_dir=str(state),
            no_hold=True,
            backend=NAMES[world.backend],
            max_delete=100,
            allow_empty=True,
            cool_down=0,
        )
        return cls(world, settings, FakeCluster(ClusterState((), (), ()), []), [])

    def forget_state(self) -> None:
        """The state file is lost."""
        for file in Path(self.settings.state_dir).iterdir():
            file.unlink()

    def apply(self, state: ClusterState) -> Result:
        """One run with this snapshot; the Pods keep the annotations they were given."""
        reported = {pod.ref: pod.annotation for pod in self.cluster.state.pods}
        pods = tuple(replace(pod, annotation=reported.get(pod.ref, pod.annotation)) for pod in state.pods)
        self.cluster.state = replace(state, pods=pods)
        start = time.monotonic()
        with inside(self.world.node):
            result = apply(self.cluster, LinuxNode.open(self.settings), self.settings)
        self.seconds.append(time.monotonic() - start)
        return result

    def verify(self) -> Verified:
        """Everything compared with the snapshot of the last run."""
        with inside(self.world.node):
            found = review(self.cluster, LinuxNode.open(self.settings), self.settings)
        return verify(found.decision, found.observed, found.pods, no_hold=True)
