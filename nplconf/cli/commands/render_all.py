"""`nplconf render --all-nodes --out DIR`: make one plan per node, from one snapshot."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nplconf.characters import escaped
from nplconf.cli import messages, plans
from nplconf.cli.connections import open_cluster
from nplconf.cli.files import write_output
from nplconf.desired.names import subdomain
from nplconf.desired.ports import Previous
from nplconf.desired.render import Desired, Renderer, each_node
from nplconf.errors import BadDataError, NplconfError, PermissionDeniedError
from nplconf.files.reading import read_text
from nplconf.model import Failure
from nplconf.output import data, structured, table
from nplconf.plan import document
from nplconf.plan.live import numbers
from nplconf.plan.reread import reread
from nplconf.settings import Settings

_WINDOWS = "the node runs Windows, which has no iptables: it gets no plan"


@dataclass(slots=True)
class RenderedNodes:
    """The nodes by the result for their files."""

    unchanged: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def run(directory: str, settings: Settings, *, prune: bool) -> int:
    """Return 0 if every node has its plan, 65 if only some have one, 4 if nothing was done."""
    requests = Desired(
        settings.port_range, settings.node_ips, plans.policy(settings), settings.namespace_share, settings.protocols
    )
    with _reading(settings):
        cluster = open_cluster(settings).snapshot(None)
    outcome = RenderedNodes()
    if prune and not cluster.nodes:
        message = "the cluster state has no Node: no plan is removed, and none is written"
        outcome.failures.append(Failure("prune", directory, message))
        _report(outcome, settings)
        return 4
    _make(directory)
    for renderer in _progressing(each_node(cluster, requests), len(cluster.nodes), settings):
        _render(renderer, Path(directory), outcome)
    if prune:
        _prune(Path(directory), {node.name for node in cluster.nodes}, outcome)
    _report(outcome, settings)
    return 65 if outcome.failures else 0


def _make(directory: str) -> None:
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise PermissionDeniedError(f"{directory}: cannot be made: {err.strerror}") from err


def _render(renderer: Renderer, directory: Path, outcome: RenderedNodes) -> None:
    name = renderer.node.name
    if renderer.node.windows:
        outcome.windows.append(name)
        return
    if not subdomain(name):
        outcome.failures.append(Failure("render", name, "no DNS name, so no file can be named after it"))
        return
    path = str(directory / f"{name}.yaml")
    try:
        written = reread(read_text(path)) if os.path.lexists(path) else None
        before = written or (plans.read(path) if os.path.lexists(path) else None)
    except BadDataError as err:
        outcome.failures.append(Failure("render", name, f"the previous plan is left as it is: {err}"))
        return
    past = Previous(numbers=(numbers(before.mappings),)) if before else Previous()
    plan = renderer.render(past)
    # a file that nplconf wrote has equal bytes; another author may have written the same plan in other bytes
    if plan == written or not write_output(path, document.dump(plan)):
        outcome.unchanged.append(name)
    else:
        outcome.written.append(name)


def _prune(directory: Path, nodes: set[str], outcome: RenderedNodes) -> None:
    """Remove the plans of nodes that no longer exist, and no other file."""
    for path in sorted(directory.glob("*.yaml")):
        name = path.stem
        if name not in nodes and subdomain(name) and _is_plan_of(path, name):
            try:
                path.unlink()
            except OSError as err:
                raise PermissionDeniedError(f"{path}: cannot be removed: {err.strerror}") from err
            outcome.removed.append(name)


def _is_plan_of(path: Path, name: str) -> bool:
    """Return whether a file is the plan of the node in its name. A plan with problems is one, too."""
    from nplconf.files.strict_yaml import load

    try:
        found = load(read_text(str(path)), source=str(path)).value
    except NplconfError:
        return False
    if not isinstance(found, dict) or found.get("kind") != document.KIND:
        return False
    metadata = found.get("metadata")
    return isinstance(metadata, dict) and metadata.get("node") == name


def _report(outcome: RenderedNodes, settings: Settings) -> None:
    for failure in outcome.failures:
        messages.error(f"{failure.subject}: {failure.message}")
    for name in outcome.windows:
        messages.warning(f"{name}: {_WINDOWS}")
    count = len(outcome.unchanged) + len(outcome.written)
    if settings.output == "table":
        lines = [("add", f"+ {escaped(name)}") for name in outcome.written]
        lines += [("delete", f"- {escaped(name)}") for name in outcome.removed]
        skipped = f", {len(outcome.windows)} skipped" if outcome.windows else ""
        changed = f"{len(outcome.written)} written, {len(outcome.removed)} removed"
        total = f"Render: {count} plan{'s' * (count != 1)}, {changed}{skipped}."
        table.write([*([] if settings.quiet else lines), ("sum", total)], settings)
        return
    found = {
        "plans": count,
        "written": outcome.written,
        "removed": outcome.removed,
        "skipped": [{"node": name, "reason": "windows", "message": _WINDOWS} for name in outcome.windows],
        "failures": [data.failure(f) for f in outcome.failures],
    }
    print(structured.text(found, settings.output), end="")


# --- progress --------------------------------------------------------------------------------------------------------


def _shown(settings: Settings) -> bool:
    return not settings.quiet and sys.stderr.isatty()


def _reading(settings: Settings) -> contextlib.AbstractContextManager[object]:
    if not _shown(settings):
        return contextlib.nullcontext()
    from rich.console import Console

    return Console(stderr=True).status("reading the cluster state")


def _progressing(renderers: Iterable[Renderer], total: int, settings: Settings) -> Iterator[Renderer]:
    if not _shown(settings):
        yield from renderers
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(renderers, "rendering", total, console=Console(stderr=True), transient=True)
