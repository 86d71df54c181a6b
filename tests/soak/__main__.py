"""`python -m soak`: hundreds of runs on one node with random, hostile and interrupted changes, checked after each run.

Needs root; works in network namespaces of its own. The same seed gives the same story. Ends with exit code 1, and says
what was wrong, at the first run after which the node is not as it must be.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import interrupted
import netns
import worlds
from holdspace import bindable
from soak import check
from soak.tenants import Cluster, Raw

from nplconf.model import PortRange

PORTS = PortRange(61000, 61039)
"""Few, so that the range runs full."""
OPTIONS = ("--cool-down", "86400", "--max-delete", "100", "--allow-empty", "-q")
"""No port finishes cooling down during a soak, and no limit blocks real changes."""
FAULTS = ("none", "none", "none", "flush", "kill", "lose state", "restart hold daemon")
WARM_RUNS = 50
"""After so many runs nothing may grow any more."""


class Site(netns.World):
    """A node with few ports, whose numbers never finish cooling down during a soak."""

    def _options(self) -> tuple[str, ...]:
        return (*super()._options(), "--port-range", str(PORTS), *OPTIONS)


@dataclass(slots=True)
class Sizes:
    """What may not grow: the hold daemon's memory (KiB) and descriptors, lines of rules, bytes of the state file."""

    memory: int
    descriptors: int
    lines: int
    state: int


@dataclass
class Soak:
    """One story. last: the namespace that had a number last, as far as a node can know it."""

    node: Site
    runner: interrupted.Runner
    cluster: Cluster
    dice: random.Random
    last: dict[int, str] = field(default_factory=dict)
    reused: int = 0

    def turn(self) -> str:
        """Some deeds, perhaps a fault, then runs until one is not cut off. Return what happened."""
        deeds = [self.cluster.play() for _ in range(self.dice.randint(0, 4))]
        fault = self.dice.choice(FAULTS)
        self._before(fault)
        self._write()
        if fault == "kill":
            self.runner.run("apply", strike=(signal.SIGKILL, self.dice.random() * 0.15))
            self._take()
            self._write()
        ended = self.runner.run("apply")
        self._take()
        # 5: what is asked and cannot be had while the range is full, or a Pod that is refused, is no fault of the run
        if ended.code not in (0, 5):
            return f"exit code {ended.code} after {deeds}, {fault}: {ended.stderr}"
        found = check.faults(self.cluster.objects(), self.live(), bindable(self.node.node, PORTS))
        found += self._thefts()
        return f"after {deeds}, {fault}: {found}; {ended.stderr}" if found else ""

    def live(self) -> set[check.Rule]:
        """The rules of the kernel."""
        return check.rules(self.node.ours())

    def _before(self, fault: str) -> None:
        if fault == "flush":
            self.node.run("nft", "flush", "ruleset")
        elif fault == "lose state":
            (self.node.directory / "state" / "state.json").unlink(missing_ok=True)
            # of a number without a rule nobody remembers the owner
            self.last = {rule.port: self.last[rule.port] for rule in self.live() if rule.port in self.last}
        elif fault == "restart hold daemon":
            assert self.node.daemon is not None
            self.node.daemon.terminate()
            self.node.daemon.wait()
            self.node.start_hold()

    def _write(self) -> None:
        _write(self.node, self.cluster.objects())

    def _take(self) -> None:
        self.cluster.take(json.loads(self.node.cluster.read_text())["items"])

    def _thefts(self) -> list[str]:
        """Numbers that went from one namespace to another while they cooled down."""
        owners = check.namespaces(self.cluster.objects())
        now = {rule.port: owners[rule.ip] for rule in self.live() if rule.ip in owners}
        moved = ((port, self.last.get(port, owner), owner) for port, owner in now.items())
        stolen = [f"{port}: {before} -> {owner}" for port, before, owner in moved if before != owner]
        self.reused += sum(port in self.last for port in now)
        self.last |= now
        return [f"numbers that changed hands: {stolen}"] if stolen else []

    def sizes(self) -> Sizes:
        """What may not grow."""
        assert self.node.daemon is not None
        process = Path(f"/proc/{self.node.daemon.pid}")
        memory = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS"))
        state = (self.node.directory / "state" / "state.json").stat().st_size
        lines = len(self.node.run("nft", "list", "ruleset").stdout.splitlines())
        return Sizes(int(memory.split()[1]), sum(1 for _ in (process / "fd").iterdir()), lines, state)


def _write(node: Site, objects: list[Raw]) -> None:
    worlds.write_objects(node.cluster, worlds.raw_list(*objects))


@contextmanager
def story(backend: str, seed: int) -> Iterator[Soak]:
    """A node, the users of its namespaces, and the runner."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="nplconf-soak-") as name, netns.world(Path(name), backend, Site) as node:
        node.start_hold()
        cluster = Cluster(dice)
        _write(node, cluster.objects())
        with interrupted.runner(node) as runner:
            yield Soak(node, runner, cluster, dice)


def soak(backend: str, seed: int, runs: int) -> list[str]:
    """Play one story; what was wrong."""
    with story(backend, seed) as played:
        warm, largest = None, None
        for number in range(runs):
            if fault := played.turn():
                return [f"{backend}, seed {seed}, run {number}: {fault}"]
            if number == min(WARM_RUNS, runs // 2):
                warm = played.sizes()
        largest = played.sizes()
    assert warm is not None
    grown = [
        f"{what} grew from {before} to {after}"
        for what, before, after, slack in (
            ("the hold daemon's memory (KiB)", warm.memory, largest.memory, 4096),
            ("its descriptors", warm.descriptors, largest.descriptors, 4),
            ("lines of the kernel's rules", warm.lines, largest.lines, 400),
            ("bytes of the state file", warm.state, largest.state, 64 << 10),
        )
        if after > before + slack
    ]
    sys.stdout.write(f"{backend}: {runs} runs, seed {seed}, {played.reused} numbers used again: all well\n")
    return grown


def main() -> int:
    """Soak each backend; 1 when something was wrong."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="runs in all, shared by the backends (default: 1000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of the dice")
    parser.add_argument("--backend", action="append", choices=("nft", "legacy", "nftables"), help="repeatable")
    arguments = parser.parse_args()
    backends = arguments.backend or ["nft", "legacy", "nftables"]
    wrong: list[str] = []
    for backend in backends:
        wrong += soak(backend, arguments.seed, max(1, arguments.runs // len(backends)))
    sys.stdout.writelines(f"{fault}\n" for fault in wrong)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
