"""`nplconf cleanup`: remove every rule and annotation of nplconf from this node. With --check only list them."""

import argparse
from collections.abc import Iterable

from nplconf.cli import messages
from nplconf.cli.connections import open_cluster, open_node
from nplconf.cluster import Cluster
from nplconf.errors import NplconfError
from nplconf.model import Failure
from nplconf.node import state
from nplconf.node.lock import locked
from nplconf.output import data, structured, table
from nplconf.run.cleanup import Preview, clean, preview, unread
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("--check", "--dry-run", action="store_true", help="only list what would be removed")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Return 0 if nothing is left (with --check: if everything could be read), else 5. Each failure is logged."""
    if arguments.check:
        return _check(settings)
    failures = clean_up(settings)
    say_failures(failures)
    if settings.output == "table":
        done = f"The rules of nplconf are removed from {settings.node}. {annotations(settings)}"
        left = f"Cleanup of {settings.node} is incomplete: {table.counted(len(failures), 'step')} failed."
        table.write([("sum", left if failures else done)], settings)
    else:
        found = {"node": settings.node, "failures": [data.failure(f) for f in failures]}
        print(structured.text(found, settings.output), end="")
    return 5 if failures else 0


def clean_up(settings: Settings) -> tuple[Failure, ...]:
    """Clean the node under its lock. If the cluster cannot be read, the annotations stay, which is a failure."""
    state.make_directory(settings.state_dir)
    with locked(settings.state_dir):
        cluster, failures = _cluster(settings)
        return (*failures, *clean(open_node(settings), cluster, settings))


def annotations(settings: Settings) -> str:
    """Return a sentence on the result for the annotations."""
    if settings.no_cluster:
        return "The annotations of its Pods are left as they are."
    if settings.withdraw_as == "empty":
        return "The annotations of its Pods are now [] (--withdraw-as remove removes the key, which AKO does not see)."
    return "The annotations of its Pods are removed."


def say_failures(failures: Iterable[Failure]) -> None:
    """Log each failure."""
    messages.failures(messages.error, failures)


def _cluster(settings: Settings) -> tuple[Cluster | None, tuple[Failure, ...]]:
    """Return (cluster, error). The cluster is None with --no-cluster, or if it cannot be opened."""
    if settings.no_cluster:
        messages.warning("--no-cluster: the annotations of Pods are left as they are")
        return None, ()
    try:
        return open_cluster(settings), ()
    except NplconfError as err:
        return None, (unread(str(err)),)


def _check(settings: Settings) -> int:
    cluster, failures = _cluster(settings)
    found = preview(open_node(settings), cluster, settings)
    failures = (*failures, *found.failures)
    say_failures(failures)
    if settings.output == "table":
        table.write(_lines(found, settings), settings)
    else:
        print(structured.text(_data(found, failures, settings), settings.output), end="")
    return 5 if failures else 0


def _lines(found: Preview, settings: Settings) -> list[table.Line]:
    what = f"{table.counted(len(found.removals), 'mapping')} and {table.counted(len(found.patches), 'annotation')}"
    left = [("delete", f"- rules in {name} ({', '.join(families)})") for name, families in found.leftovers.items()]
    total = ("sum", f"Cleanup of {settings.node} would remove {what}. Nothing was changed.")
    return [*table.changes(found.removals), *left, *table.patches(found.patches), total]


def _data(found: Preview, failures: Iterable[Failure], settings: Settings) -> dict[str, object]:
    return {
        "node": settings.node,
        "changes": [data.change(change) for change in found.removals],
        "patches": [data.patch(patch) for patch in found.patches],
        "leftovers": {name: list(families) for name, families in found.leftovers.items()},
        "failures": [data.failure(failure) for failure in failures],
    }
