"""Whole processes: apply from nothing, with one change and without any, and the daemon that holds the range."""

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from bench import child
from bench.figures import Figure
from bench.nodes import BACKENDS, Node, kube_proxy_like, node

NAMES = {"nft": "iptables-nft", "nftables": "nftables"}
BARE = {"nft": "bare iptables-restore", "nftables": "bare nft -f"}


def many(count: int, runs: int) -> Iterator[Figure]:
    """Apply of `count` mappings from nothing, and then of one change among them, with each backend."""
    for backend in BACKENDS:
        yield from _many(count, runs, backend)


def _many(count: int, runs: int, backend: str) -> Iterator[Figure]:
    group = f"apply, {count} mappings, --no-hold, {NAMES[backend]}"
    with node(backend) as one:
        one.fill(count)
        cluster = one.cluster.read_bytes()
        new, bare = [], []
        for _ in range(runs):
            one.forget()
            one.cluster.write_bytes(cluster)
            new.append(one.apply())
            text = one.rules_as_text()
            one.forget()
            bare.append(one.load_rules(text))
        beside = child.best(bare)
        times = 1 if backend == "nftables" else 2
        yield from _costs(group, "from nothing", child.best(new), times * beside.seconds + 1, beside, BARE[backend])
        one.forget()
        one.apply()
        yield from _next_runs(one, group, runs, 0.6)


def _next_runs(one: Node, group: str, runs: int, aim: float | None) -> Iterator[Figure]:
    """Runs of a node that has its mappings: with one change among them, and with none."""
    changed = [_moved(one, one.numbers // 2, run) for run in range(runs)]
    yield from _costs(group, "one change", child.best(changed), aim)
    yield from _costs(group, "no change", child.best([one.apply() for _ in range(runs)]), None)


def held(count: int, runs: int) -> Iterator[Figure]:
    """The same with the hold daemon, as on an installed node, where a run need not try to bind each port.

    The daemon needs two open files for each port. Where the limit is lower, there are fewer mappings.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = count if most == resource.RLIM_INFINITY else min(count, (most - 100) // 2)
    for backend in BACKENDS:
        group = f"apply, {count} mappings, held, {NAMES[backend]}"
        with node(backend) as one:
            one.fill(count)
            one.start_hold("--port-range", f"{one.last - count + 1}-{one.last}")
            one.apply()
            yield from _next_runs(one, group, runs, 0.6 if backend == "nftables" else None)


def alike(count: int, runs: int) -> Iterator[Figure]:
    """A run without a change, with each backend in turn: nftables is not to be slower."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(node(backend)) for backend in BACKENDS]
        costs: dict[str, list[child.Cost]] = {backend: [] for backend in BACKENDS}
        for one in nodes:
            one.fill(count)
            one.apply()
        for _ in range(3 * runs):
            for one in nodes:
                costs[one.backend].append(one.apply())
        iptables, nftables = (child.best(costs[backend]) for backend in BACKENDS)
        group = f"apply, {count} mappings, --no-hold, {NAMES['nftables']}"
        yield from _costs(group, "no change", nftables, iptables.seconds, iptables, NAMES["nft"])


def _moved(one: Node, index: int, run: int) -> child.Cost:
    one.move(index, f"10.99.{run}.1")
    return one.apply()


def beside_others(count: int, foreign: int, runs: int) -> Iterator[Figure]:
    """A run without a change at `count` mappings, beside many rules of other programs; the range is held."""
    group = f"apply, {count} mappings, held, {foreign} foreign lines"
    with node() as one:
        one.fill(count)
        one.start_hold("--port-range", f"{one.last - count + 1}-{one.last}")
        one.load(kube_proxy_like(foreign))
        one.apply()
        same, save = [], []
        for _ in range(runs):
            same.append(one.apply())
            save.append(one.cost("iptables-nft-save"))
        yield from _costs(group, "no change", child.best(same), 0.3, child.best(save), "iptables-save alone")


def _costs(
    group: str,
    what: str,
    cost: child.Cost,
    aim: float | None,
    beside: child.Cost | None = None,
    name: str = "bare iptables-restore",
) -> Iterator[Figure]:
    def other(value: float) -> tuple[tuple[str, float], ...]:
        return ((name, value),) if beside else ()

    yield Figure(group, f"{what}: whole process", cost.seconds, "s", aim, other(beside.seconds if beside else 0))
    processor = beside.user + beside.system if beside else 0
    yield Figure(group, f"{what}: processor", cost.user + cost.system, "s", None, other(processor))
    yield Figure(group, f"{what}: peak memory", cost.peak, "MiB", None, other(beside.peak if beside else 0))


def hold(count: int, runs: int) -> Iterator[Figure]:
    """The daemon: from its start to its first answer, and its memory then."""
    group = f"hold, {count} numbers"
    with node() as one:
        one.numbers = count
        found = [_held(one) for _ in range(runs)]
    yield Figure(group, "start to answer", min(seconds for seconds, _ in found), "s", 0.1)
    yield Figure(group, "memory (VmHWM)", max(peak for _, peak in found), "MiB", 20)


def _held(one: Node) -> tuple[float, float]:
    socket = one.directory / "hold.sock"
    socket.unlink(missing_ok=True)
    start = time.monotonic()
    one.start_hold("--port-range", f"{one.last - one.numbers + 1}-{one.last}")
    seconds = time.monotonic() - start
    assert one.daemon is not None
    status = Path(f"/proc/{one.daemon.pid}/status").read_text()
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    one.daemon.kill()
    one.daemon.wait()
    return seconds, peak
