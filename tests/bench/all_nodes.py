"""The plans of all nodes at once, from one large dump as kubectl prints it; the second time no file is written."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import child, cluster_dump
from bench.figures import Figure

SECONDS, MEBIBYTES = 60, 2e9 / 2**20
"""The aims."""


def render(nodes: int, pods: int, services: int) -> Iterator[Figure]:
    """`render --all-nodes` into an empty directory, and again."""
    group = f"render --all-nodes, {nodes} nodes, {pods} Pods, {services} Services"
    with tempfile.TemporaryDirectory(prefix="nplconf-bench-") as name:
        dump, plans, output = (Path(name, part) for part in ("dump.json", "plans", "said.json"))
        with dump.open("w") as out:
            cluster_dump.write(out, nodes, pods, services)
        yield Figure(group, "the dump", dump.stat().st_size / 1e6, "MB")
        for when, count in (("into nothing", nodes), ("again", 0)):
            argv = [sys.executable, "-m", "nplconf", "render", "--all-nodes", "--cluster-state", str(dump)]
            cost = child.run([*argv, "--out", str(plans), "-o", "json"], environment=os.environ, out=str(output))
            assert len(json.loads(output.read_text())["written"]) == count
            yield Figure(group, f"{when}: whole process", cost.seconds, "s", SECONDS)
            yield Figure(group, f"{when}: processor", cost.user + cost.system, "s")
            yield Figure(group, f"{when}: peak memory", cost.peak, "MiB", MEBIBYTES)
