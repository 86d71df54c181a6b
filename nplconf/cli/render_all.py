"""`nplconf render --all-nodes`: a directory of plans, one per node, from one snapshot."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from nplconf import files
from nplconf.cli import say
from nplconf.cli.files import write_output
from nplconf.cli.worlds import open_cluster
from nplconf.cluster import stream
from nplconf.desired.names import subdomain
from nplconf.desired.render import Desired, render_all
from nplconf.errors import BadDataError, BlockedError, NplconfError, PermissionDeniedError
from nplconf.model import ClusterState, Past, PodPort
from nplconf.output.text import escaped
from nplconf.plan import document
from nplconf.plan.live import numbers
from nplconf.plan.validate import load
from nplconf.settings import Settings

_FEW = 50
"""So many plans are read before other processes could help."""
Before = tuple[str, dict[PodPort, int], str]
"""A node, the numbers of its previous plan, and why that could not be read ("" where it could)."""


def run(directory: Path, settings: Settings, *, prune: bool) -> int:
    """Write every node's plan; 65 where one could not be, with the others written."""
    cluster = _snapshot(settings)
    names = {node.name for node in cluster.nodes}
    if not names:
        if prune:
            raise BlockedError("the cluster state has no Node at all: --prune would remove every plan")
        raise BadDataError("the cluster state has no Node at all")
    good = {name for name in names if subdomain(name)}
    for name in sorted(names - good):
        say.error(f"{escaped(name)}: no name of a node: there is no plan for it")
    past = _past(directory, sorted(good))
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise PermissionDeniedError(f"{directory}: cannot be made: {err.strerror}") from err
    served = replace(cluster, nodes=tuple(node for node in cluster.nodes if node.name in past))
    wishes = Desired(settings.port_range, settings.node_ips)
    written = 0
    for plan in render_all(served, wishes, lambda name: past[name]):
        written += write_output(str(directory / f"{plan.node}.yaml"), document.dump(plan))
    removed = _prune(directory, names) if prune else 0
    print(f"{len(past)} nodes: {written} written, {len(past) - written} unchanged, {removed} removed")
    return 0 if len(past) == len(names) else BadDataError.exit_code


# --- the previous plans ----------------------------------------------------------------------------------------------


def _past(directory: Path, names: Iterable[str]) -> dict[str, Past]:
    """What each node had before; a node whose plan cannot be read is left out, after that was said."""
    there = [str(directory / f"{name}.yaml") for name in names]
    found: dict[str, Past] = {}
    for name, had, problem in _read_all(there):
        if problem:
            say.error(problem)
        else:
            found[name] = Past(numbers=(had,)) if had else Past()
    return found


def _read_all(paths: list[str]) -> Iterator[Before]:
    present = sum(map(os.path.lexists, paths))
    if present <= _FEW:
        yield from map(_before, paths)
        return
    with ProcessPoolExecutor() as pool:
        yield from pool.map(_before, paths, chunksize=20)


def _before(path: str) -> Before:
    name = Path(path).name.removesuffix(".yaml")
    if not os.path.lexists(path):
        return name, {}, ""
    try:
        plan, problems = load(files.read_text(path), path)
    except NplconfError as err:
        return name, {}, str(err)
    if plan is None:
        first = problems[0]
        return name, {}, f"{first.file}:{first.line}: {first.path}: {first.message} [{first.rule}]"
    return name, numbers(plan.mappings), ""


def _prune(directory: Path, names: set[str]) -> int:
    """Remove the plans of nodes that are gone; whatever else lies there is not ours."""
    removed = 0
    for path in sorted(directory.glob("*.yaml")):
        name = path.name.removesuffix(".yaml")
        if name in names or not subdomain(name):
            continue
        if _plan_of(path) != name:
            continue
        try:
            path.unlink()
        except OSError as err:
            raise PermissionDeniedError(f"{path}: cannot be removed: {err.strerror}") from err
        removed += 1
    return removed


def _plan_of(path: Path) -> str:
    """The node that a file is a plan of; "" for every other file."""
    try:
        plan, _ = load(files.read_text(str(path)), str(path))
    except NplconfError:
        return ""
    return plan.node if plan else ""


# --- the snapshot ----------------------------------------------------------------------------------------------------


def _snapshot(settings: Settings) -> ClusterState:
    if not settings.cluster_state or settings.write_back:
        return open_cluster(settings).snapshot(None)
    with _progress(settings) as told:
        return stream.snapshot(settings.cluster_state, told)


@contextlib.contextmanager
def _progress(settings: Settings) -> Iterator[Callable[[int], None]]:
    """A bar on stderr where somebody is looking at it."""
    if settings.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=sum(map(_bytes, settings.cluster_state)) or None)
        yield lambda more: bar.advance(task, more)


def _bytes(name: str) -> int:
    return Path(name).stat().st_size if Path(name).is_file() else 0
