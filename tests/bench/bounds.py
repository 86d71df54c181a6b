"""What hostile input costs: Services with thousands of ports, and a file that is no plan."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import child
from bench.figures import Figure
from worlds import raw_list, raw_node, raw_pod, raw_service

SECONDS, MEGABYTES = 2.0, 120e6 / 2**20
"""At most this much more than without the ports."""


def ports(pods: int, count: int) -> Iterator[Figure]:
    """`render` of a node with four Services of `count` ports each, beside the same with one port each."""
    group = f"render, {pods} Pods, 4 Services, {count} ports each, more than with 1 port each"
    with tempfile.TemporaryDirectory(prefix="nplconf-bench-") as name:
        bare = _render(Path(name), pods, 1, "TCP")
        for protocol in ("TCP", "SCTP"):
            cost = _render(Path(name), pods, count, protocol)
            more = max(cost.user + cost.system - bare.user - bare.system, 0.0001)
            yield Figure(group, f"{protocol}: processor", more, "s", SECONDS)
            yield Figure(group, f"{protocol}: peak memory", max(cost.peak - bare.peak, 0.0001), "MiB", MEGABYTES)


def _render(place: Path, pods: int, count: int, protocol: str) -> child.Cost:
    dump = place / "dump.json"
    rows = [(1 + i, 1 + i, protocol) for i in range(count)]
    services = [raw_service(f"s-{i}", rows) for i in range(4)]
    for service in services:
        for row in service["spec"]["ports"]:
            row["name"] = f"p{row['port']}-{protocol.lower()}"
    here = [raw_pod(f"web-{i}", [f"10.244.{i // 250}.{i % 250 + 1}"]) for i in range(pods)]
    dump.write_text(json.dumps(raw_list(raw_node(), *here, *services)))
    argv = [sys.executable, "-m", "nplconf", "render", "--node", "worker-1", "--cluster-state", str(dump)]
    return child.run(argv, environment=os.environ)


def scalars(size: int) -> Iterator[Figure]:
    """`validate` of a file of 32 MB that is no plan: values, keys or rows without end."""
    group = f"validate, {size / 1e6:.0f} MB that are no plan"
    head = "apiVersion: nplconf.io/v1alpha1\nkind: NodePlan\nspec:\n  mappings:\n"
    texts = {"short values": "    - 1\n", "long values": f"    - {'a' * 30}\n", "rows": f"    - {{a: 1}}{' ' * 24}\n"}
    texts |= {"nested lists": "    - [[a], [[b]]]          \n\n", "nested rows": "    - {a: {b: {c: {d: {}}}}}\n"}
    with tempfile.TemporaryDirectory(prefix="nplconf-bench-") as name:
        plan = Path(name, "plan.yaml")
        for what, line in texts.items():
            plan.write_text(head + line * (size // len(line)))
            cost = child.run(
                [sys.executable, "-m", "nplconf", "validate", str(plan)], environment=os.environ, expected=65
            )
            yield Figure(group, f"{what}: processor", cost.user + cost.system, "s", SECONDS)
