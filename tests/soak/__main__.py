"""`python -m soak`: hundreds of runs on one node with random, hostile and interrupted changes, checked after each run.

Needs root; works in network namespaces of its own. The same seed gives the same story. Ends with exit code 1, and says
what was wrong, at the first run after which the node is wrong.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import interrupted
import netns
import worlds
from holdspace import bindable
from soak import check
from soak.tenants import Cluster, Raw
from watching import WatchRunner, WatchRuns

from nplconf.model import PortRange

PORTS = PortRange(61000, 61039)
"""Few, so that the range runs full."""
OPTIONS = ("--cool-down", "86400", "--max-delete", "100", "--allow-empty", "-q")
"""No port finishes cooling down during a soak, and no limit blocks real changes."""
FAULTS = ("none", "none", "none", "flush", "kill", "lose state", "restart hold daemon", "outage", "clock")
"""outage: the cluster cannot be read in one run; clock: the wall clock jumps by up to a day, in watch mode."""
UNREADABLE = 65
WARM_RUNS = 50
"""After so many runs nothing may grow any more."""


class Site(netns.World):
    """A node with few ports, whose numbers never finish cooling down during a soak."""

    start = netns.World.process  # its memory is measured

    def _options(self) -> tuple[str, ...]:
        return (*super()._options(), "--port-range", str(PORTS), *OPTIONS)


@dataclass(slots=True)
class Sizes:
    """What may not grow: memory (KiB) and descriptors of both daemons, lines of rules, bytes of the state file."""

    memory: int
    descriptors: int
    lines: int
    state: int
    watch_memory: int = 0
    watch_descriptors: int = 0


@dataclass
class Soak:
    """One story. last: the namespace that had a number last, as far as a node can know it."""

    node: Site
    runner: interrupted.Runner | WatchRunner
    cluster: Cluster
    dice: random.Random
    last: dict[int, str] = field(default_factory=dict)
    reused: int = 0
    killing: bool = True
    """Whether a run may be killed."""

    def turn(self, *, judged: bool = True) -> str:
        """Some deeds, perhaps a fault, then runs until one is not cut off. Return what was wrong.

        Without `judged` only the exit code is looked at.
        """
        deeds = [self.cluster.play() for _ in range(self.dice.randint(0, 4))]
        fault = self.dice.choice(FAULTS)
        self._before(fault)
        self._write()
        if fault == "kill" and self.killing:
            self.runner.run("apply", strike=(signal.SIGKILL, self.dice.random() * 0.15))
            self._take()
            self._write()
        ended = self.runner.run("apply")
        self._take()
        # 5: what is asked and cannot be had while the range is full, or a Pod that is refused, is no fault of the run
        if ended.code not in (0, 5):
            return f"exit code {ended.code} after {deeds}, {fault}: {ended.stderr}"
        if not judged:
            return ""
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
        elif fault == "outage":
            self.node.cluster.write_text("{")
            assert self.runner.run("apply").code == UNREADABLE
        elif fault == "clock" and isinstance(self.runner, WatchRunner):
            self.runner.runs.clock = self.dice.uniform(-86_400, 86_400)
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
        state = (self.node.directory / "state" / "state.json").stat().st_size
        lines = len(self.node.run("nft", "list", "ruleset").stdout.splitlines())
        watch = self.runner.runs.process if isinstance(self.runner, WatchRunner) else None
        return Sizes(*_sizes(self.node.daemon.pid), lines, state, *(_sizes(watch.pid) if watch else ()))


def _sizes(pid: int) -> tuple[int, int]:
    """The memory (KiB) and the open descriptors of a process."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    memory = next(line for line in status if line.startswith("VmRSS"))
    return int(memory.split()[1]), sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _write(node: netns.World, objects: list[Raw]) -> None:
    worlds.write_objects(node.cluster, worlds.raw_list(*objects))


@contextmanager
def story(backend: str, seed: int, *, watch: bool) -> Iterator[Soak]:
    """A node, the users of its namespaces, and what carries out its runs."""
    dice = random.Random(seed)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nplconf-soak-")))
        node = stack.enter_context(netns.world(directory, backend, Site))
        if watch:
            runs = WatchRuns(node)
            stack.callback(runs.stop)
            yield _begun(node, WatchRunner(runs), dice)
        else:
            yield _begun(node, stack.enter_context(interrupted.runner(node)), dice)


def _begun(node: Site, runner: interrupted.Runner | WatchRunner, dice: random.Random) -> Soak:
    node.start_hold()
    cluster = Cluster(dice)
    _write(node, cluster.objects())
    return Soak(node, runner, cluster, dice)


GROWTH = (
    ("the hold daemon's memory (KiB)", "memory", 4096),
    ("its descriptors", "descriptors", 4),
    ("lines of the kernel's rules", "lines", 400),
    ("bytes of the state file", "state", 64 << 10),
    ("the memory of watch mode (KiB)", "watch_memory", 4096),
    ("its descriptors", "watch_descriptors", 4),
)
"""What may not grow, and by how much it varies."""


def soak(backend: str, seed: int, runs: int, *, watch: bool, every: int = 1) -> list[str]:
    """Play one story; what was wrong. every: the node is judged after each so many runs."""
    warm_runs = min(WARM_RUNS, runs // 2)
    with story(backend, seed, watch=watch) as played:
        for number in range(runs):
            played.killing = not watch or number < warm_runs // 2  # what shall not grow is one process
            if fault := played.turn(judged=number % every == 0):
                return [f"{backend}, seed {seed}, run {number}: {fault}"]
            if number == warm_runs:
                warm = played.sizes()
        after = played.sizes()
    grown = [
        f"{what} grew from {getattr(warm, name)} to {getattr(after, name)}"
        for what, name, slack in GROWTH
        if getattr(after, name) > getattr(warm, name) + slack
    ]
    sys.stdout.write(f"{backend}: {runs} runs, seed {seed}, {played.reused} numbers used again: all well\n")
    if watch:
        sys.stdout.write(f"watch mode: {after.watch_memory} KiB (after {warm_runs} runs {warm.watch_memory}), ")
        sys.stdout.write(f"{after.watch_descriptors} descriptors\n")
    return grown


def main() -> int:
    """Soak each backend; 1 when something was wrong."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="runs in all, shared by the backends (default: 1000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of the dice")
    parser.add_argument("--watch", action="store_true", help="one process of watch mode carries the runs out")
    parser.add_argument("--backend", action="append", choices=("nft", "legacy", "nftables"), help="repeatable")
    parser.add_argument("--judge-every", type=int, default=1, metavar="N", help="judge the node after each N-th run")
    arguments = parser.parse_args()
    backends = arguments.backend or ["nft", "legacy", "nftables"]
    wrong: list[str] = []
    for backend in backends:
        runs = max(1, arguments.runs // len(backends))
        wrong += soak(backend, arguments.seed, runs, watch=arguments.watch, every=arguments.judge_every)
    sys.stdout.writelines(f"{fault}\n" for fault in wrong)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
