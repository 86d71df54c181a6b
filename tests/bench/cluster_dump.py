"""A dump of a large cluster as kubectl prints it, and what `render --all-nodes` costs on it: time and peak memory."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import worlds
from bench import child
from bench.figures import Figure

PODS_PER_NODE = 30


def objects(nodes: int) -> Iterator[dict[str, Any]]:
    """That many nodes, a Service for each, and thirty Pods on each; as long as real ones are."""
    for i in range(nodes):
        yield worlds.raw_node(f"node-{i}", (("InternalIP", f"10.{200 + i // 62500}.{i // 250 % 250}.{i % 250 + 1}"),))
        yield worlds.raw_service(f"web-{i}", namespace=f"team-{i % 50}") | {"spec": _spec(i)}
    for i in range(nodes * PODS_PER_NODE):
        yield _pod(i, nodes)


def write(path: Path, nodes: int) -> int:
    """The dump with its items in lines; how many bytes it has."""
    with path.open("w") as file:
        file.write('{\n    "apiVersion": "v1",\n    "items": [\n')
        for i, found in enumerate(objects(nodes)):
            file.write((",\n" if i else "") + json.dumps(found, indent=4))
        file.write('\n    ],\n    "kind": "List",\n    "metadata": {"resourceVersion": ""}\n}\n')
    return path.stat().st_size


def all_nodes(nodes: int) -> Iterator[Figure]:
    """The first rendering, and a second one that changes nothing."""
    with tempfile.TemporaryDirectory(prefix="nplconf-bench-") as directory:
        dump = Path(directory, "cluster.json")
        size = write(dump, nodes) / 2**20
        for name in ("first", "again"):
            cost = render(dump, Path(directory, "plans"))
            about = f"{nodes} nodes, {nodes * PODS_PER_NODE} Pods, {size:.0f} MB, {name}"
            yield Figure("all-nodes", f"{about}: time", cost.seconds, "s", aim=60)
            yield Figure("all-nodes", f"{about}: peak memory", cost.peak, "MB", aim=2000)


def render(dump: Path, out: Path) -> child.Cost:
    """The command, measured."""
    words = ("render", "--all-nodes", "--cluster-state", str(dump), "--out", str(out))
    return child.run((sys.executable, "-m", "nplconf", *words), environment=os.environ)


def _spec(i: int) -> dict[str, Any]:
    spec = worlds.raw_service()["spec"]
    return {**spec, "selector": {"app": f"web-{i}"}} if isinstance(spec, dict) else {}


def _pod(i: int, nodes: int) -> dict[str, Any]:
    service = i // PODS_PER_NODE
    pod = worlds.raw_pod(
        f"web-{service}-{i}",
        (f"10.{i // 62500}.{i // 250 % 250}.{i % 250 + 1}",),
        namespace=f"team-{service % 50}",
        on=f"node-{i % nodes}",
        labels={"app": f"web-{service}", "pod-template-hash": f"{service:010x}"},
    )
    environment = [{"name": f"SETTING_{n}", "value": "x" * 40} for n in range(6)]
    pod["spec"]["containers"][0] |= {"env": environment, "image": f"registry.example/team/web@sha256:{i:064x}"}
    return pod
