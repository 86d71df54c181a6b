"""`nplconf diff A [B]`: two plans, or a plan and the node."""

import argparse

from nplconf.cli import plans
from nplconf.cli.worlds import open_node
from nplconf.output import data, structured, table
from nplconf.plan.diff import diff
from nplconf.reconcile import show
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """The two sides."""
    parser.add_argument("a", metavar="A", help="a plan")
    parser.add_argument("b", metavar="B", nargs="?", help="the plan that follows it; else A against what the node has")
    parser.add_argument("--detailed-exitcode", action="store_true", help="exit 2 when they differ")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """What leads from A to B, or from the node to A."""
    first = plans.read(arguments.a)
    if arguments.b:
        after = plans.read(arguments.b)
        was, want, name = first.mappings, after.mappings, after.node
    else:
        was, want, name = show(open_node(settings), settings)[0], first.mappings, first.node
    found = diff(was, want, why_add=lambda _: "new", why_delete=lambda _: "gone")
    if settings.output == "table":
        table.write([*table.changes(found.changes), table.summary(found)], settings)
    else:
        print(structured.review(data.diff(name, found), settings.output), end="")
    return 2 if arguments.detailed_exitcode and found.changes else 0
