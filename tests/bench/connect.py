"""A TCP connection through each way of dispatch, from a client beside the node to the last number's Pod.

The same nodes stand side by side and are asked in turn, so that what else the machine does meets all of them. Nothing
runs at the other end: the kernel answers for a listening socket, whose queue is emptied between the rounds.
"""

import contextlib
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.figures import Figure
from bench.nodes import ADDRESS, Node, node
from netns import inside

POD = "10.244.3.17"
BATCH, ROUNDS = 100, 40
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: closing ends the connection at once, and no TIME_WAIT fills the client's ports."""


@dataclass(slots=True)
class Way:
    """A way of dispatch on a node of its own. seconds: of each connection; rates: connections a second, per round."""

    name: str
    client: str
    number: int
    listening: socket.socket
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """One round."""
        with inside(self.client):
            start = time.perf_counter()
            self.seconds += [_connect(self.number) for _ in range(BATCH)]
            self.rates.append(BATCH / (time.perf_counter() - start))
        for _ in range(BATCH):
            self.listening.accept()[0].close()

    def percentile(self, percent: int) -> float:
        """Microseconds."""
        return statistics.quantiles(self.seconds, n=100)[percent - 1] * 1e6


def _connect(number: int) -> float:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        start = time.perf_counter()
        client.connect((ADDRESS, number))
        return time.perf_counter() - start


def dispatch(count: int, rounds: int = ROUNDS) -> Iterator[Figure]:
    """Measure connections to the last of `count` mappings in the dispatch tree, and alternatives."""
    with contextlib.ExitStack() as stack:
        ways = [way(stack, count) for way in (_tree, _three, _linear, _map, _table, _small_table)]
        for turn in range(rounds):
            for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
                way.measure()
        ours, three, *_ = ways
        group = f"connect to the last of {count} mappings"
        others = ways[1:]
        p50 = tuple((w.name, w.percentile(50)) for w in others)
        yield Figure(group, "p50", ours.percentile(50), "us", 1.3 * three.percentile(50), p50)
        p99 = tuple((w.name, w.percentile(99)) for w in others)
        yield Figure(group, "p99", ours.percentile(99), "us", None, p99)
        rates = tuple((w.name, statistics.median(w.rates)) for w in others)
        yield Figure(group, "connections", statistics.median(ours.rates), "/s", None, rates)
        times = tuple((w.name, w.percentile(50) / three.percentile(50)) for w in others)
        yield Figure(group, "p50 over three mappings", ours.percentile(50) / three.percentile(50), "", 1.3, times)
        *_, table, small = ways
        ratio, tree = table.percentile(50) / small.percentile(50), ours.percentile(50) / three.percentile(50)
        yield Figure(
            group,
            "p50 over three mappings, nftables",
            ratio,
            "",
            1.05,
            (("tree", tree),),
        )


def _node(stack: contextlib.ExitStack, name: str, make: Callable[[Node], int], backend: str = "nft") -> Way:
    """A node with a Pod that listens, and the number that leads there, which `make` tells."""
    one = stack.enter_context(node(backend))
    one.routed("last", POD, tcp=())
    number = make(one)
    with inside(one.space("last")):
        listening = stack.enter_context(socket.create_server((POD, 8080), backlog=2 * BATCH))
    return Way(name, one.space("client"), number, listening)


def _tree(stack: contextlib.ExitStack, count: int) -> Way:
    return _node(stack, "tree", lambda one: _applied(one, count))


def _three(stack: contextlib.ExitStack, _: int) -> Way:
    return _node(stack, "three mappings", lambda one: _applied(one, 3))


def _table(stack: contextlib.ExitStack, count: int) -> Way:
    return _node(stack, "nftables", lambda one: _applied(one, count), "nftables")


def _small_table(stack: contextlib.ExitStack, _: int) -> Way:
    return _node(stack, "nftables, three mappings", lambda one: _applied(one, 3), "nftables")


def _applied(one: Node, count: int) -> int:
    """Write so many mappings, the last of which leads to the Pod."""
    one.fill(count)
    one.apply()
    reported = [pod["metadata"].get("annotations", {}) for pod in one.pods()]
    (last,) = (i for i, annotations in enumerate(reported) if f'"nodePort":{one.last},' in str(annotations))
    one.move(last, POD)
    one.apply()
    return one.last


def _linear(stack: contextlib.ExitStack, count: int) -> Way:
    def make(one: Node) -> int:
        one.numbers = count
        rules = [
            f"-A NODE-PORT-LOCAL -p tcp -m tcp --dport {number} -j DNAT --to-destination {POD}:8080"
            for number in range(one.last - count + 1, one.last + 1)
        ]
        jump = "-A PREROUTING -m addrtype --dst-type LOCAL -j NODE-PORT-LOCAL"
        one.load("\n".join(("*nat", ":NODE-PORT-LOCAL - [0:0]", jump, *rules, "COMMIT", "")))
        return one.last

    return _node(stack, "linear chain", make)


def _map(stack: contextlib.ExitStack, count: int) -> Way:
    def make(one: Node) -> int:
        one.numbers = count
        pairs = ", ".join(f"{number} : {POD} . 8080" for number in range(one.last - count + 1, one.last + 1))
        ruleset = (
            "table ip bench {\n"
            f"  map places {{ type inet_service : ipv4_addr . inet_service; elements = {{ {pairs} }} }}\n"
            "  chain pre { type nat hook prerouting priority dstnat;\n"
            "    fib daddr type local dnat ip to tcp dport map @places\n  }\n}\n"
        )
        done = one.run("nft", "-f", "-", text=ruleset)
        assert done.returncode == 0, done.stderr
        return one.last

    return _node(stack, "nft map", make)
