"""`nplconf cleanup`: removes every rule and annotation of ours on this node."""

import argparse

from nplconf.cli import say
from nplconf.cli.worlds import open_cluster, open_node
from nplconf.errors import NplconfError
from nplconf.model import Failure
from nplconf.node import state
from nplconf.node.lock import locked
from nplconf.output import data, structured, table
from nplconf.run.cleanup import clean, unread
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing beside the options of every command."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """0 when nothing of ours is left, 5 when something is, by name."""
    failures = clean_up(settings)
    for failure in failures:
        say.error(f"{failure.step}: {failure.subject}: {failure.message}")
    if settings.output == "table":
        table.write([("sum", f"Cleanup of {settings.node}: {len(failures)} left.")], settings)
    else:
        found = {"node": settings.node, "failures": [data.failure(f) for f in failures]}
        print(structured.text(found, settings.output), end="")
    return 5 if failures else 0


def clean_up(settings: Settings) -> tuple[Failure, ...]:
    """Clean the node under its lock; a cluster that cannot be read keeps its annotations, and is said."""
    state.make_directory(settings.state_dir)
    with locked(settings.state_dir):
        node = open_node(settings)
        if settings.no_cluster:
            say.warning("without a cluster the annotations of Pods are left as they are")
            return clean(node, None, settings)
        try:
            cluster = open_cluster(settings)
        except NplconfError as err:
            return (unread(str(err)), *clean(node, None, settings))
        return clean(node, cluster, settings)
