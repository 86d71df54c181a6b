"""`nplconf diff A [B]`: compare two plans, or a plan and the node."""

import argparse

from nplconf.cli import messages, plans
from nplconf.cli.connections import open_node
from nplconf.model import Plan
from nplconf.output import data, structured, table
from nplconf.plan.diff import Diff, compare, diff
from nplconf.run.reconcile import show
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("a", metavar="A", help="a plan")
    parser.add_argument("b", metavar="B", nargs="?", help="the plan that follows it; else A against what the node has")
    parser.add_argument("--detailed-exitcode", action="store_true", help="exit 2 when they differ")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the changes from A to B, or from the node to A. Of skipped rows, print those that A does not have."""
    first = plans.read(arguments.a)
    if arguments.b:
        after, known = plans.read(arguments.b), set(first.skipped)
        found = compare(first.mappings, after.mappings)
    else:
        after, known = plans.of_node(first, arguments.a, settings), set()
        found = _from_node(after, settings)
    skipped = [row for row in after.skipped if row not in known]
    if settings.output == "table":
        table.write([*table.changes(found.changes), *table.skipped(skipped), table.summary(found)], settings)
    else:
        print(structured.review(data.diff(after.node, found, skipped), settings.output), end="")
    return 2 if arguments.detailed_exitcode and found.changes else 0


def _from_node(plan: Plan, settings: Settings) -> Diff:
    """Return the changes from the node to a plan, for rules only: the node has no rule of nplconf for a hostPort."""
    shown = show(open_node(settings), settings)
    live, warnings = [m for m in shown.mappings if m.key not in shown.aliases], shown.warnings
    for message in warnings:
        messages.warning(message)
    return diff(live, plan.mappings, why_add=lambda _: "new", why_delete=lambda _: "gone")
