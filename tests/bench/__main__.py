"""`python -m bench`: every figure that nplconf is held to, beside what it is compared with, measured in one run.

Needs root; works in network namespaces of its own. A figure is the best of several: what else a machine does only adds.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import all_nodes, answers, bounds, churn, cluster, connect, figures, processes, watch
from bench.figures import Figure


def groups(scale: int, runs: int) -> dict[str, Callable[[], Iterator[Figure]]]:
    """The measurements by name; scale: divides every size. runs: how often each process is measured."""
    return {
        "connect": lambda: connect.dispatch(10_000 // scale),
        "many": lambda: processes.many(10_000 // scale, runs),
        "held": lambda: processes.held(10_000 // scale, runs),
        "alike": lambda: processes.alike(1_000 // scale, runs),
        "beside": lambda: processes.beside_others(1_000 // scale, 56_000 // scale, runs),
        "hold": lambda: processes.hold(1_001 // scale, runs),
        "api": lambda: cluster.quiet(-(-110 // scale), 5_000 // scale, runs),
        "publish": lambda: cluster.publish(1_000 // scale, runs),
        "ports": lambda: bounds.ports(100, 10_000 // scale),
        "answers": lambda: answers.refused((480 << 20) // scale, runs),
        "scalars": lambda: bounds.scalars(32_000_000 // scale),
        "watch-nftables": lambda: watch.latency(-(-110 // scale), -(-100 // scale), "nftables", 10),
        "watch-iptables": lambda: watch.latency(-(-110 // scale), -(-100 // scale), "nft", 25),
        "watch-many": lambda: watch.many(1_000 // scale, -(-100 // scale), 15, runs),
        "watch-churn": lambda: churn.day(
            -(-110 // scale), -(-100 // scale), max(300 // scale, 9), -(-3 // scale), max(4 / scale, 0.2)
        ),
        "watch-reconnects": lambda: watch.reconnects(5_000),
        "watch-idle": lambda: watch.idle(-(-110 // scale), 10_000 // scale, 60 / scale),
        "all-nodes": lambda: all_nodes.render(5_000 // scale, 150_000 // scale, 5_000 // scale),
    }


def main() -> int:
    """Measure, print the table, write the JSON; 0 whatever the figures are."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--only", action="append", metavar="GROUP", help="only this group; repeatable")
    parser.add_argument("--scale", type=int, default=1, help="divide every size, for a quick look")
    parser.add_argument("--runs", type=int, default=5, help="how often each process is measured (default: 5)")
    arguments = parser.parse_args()
    found: list[Figure] = []
    for name, measure in groups(arguments.scale, arguments.runs).items():
        if not arguments.only or name in arguments.only:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            found += measure()
    print(figures.text(found), end="")
    if arguments.json:
        arguments.json.write_text(figures.as_json(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
