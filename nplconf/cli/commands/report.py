"""`nplconf report [PLAN]`: write one self-contained HTML page."""

import argparse

from nplconf.cli import plans
from nplconf.cli.connections import look
from nplconf.cli.files import write_output
from nplconf.output import html
from nplconf.plan.live import numbers
from nplconf.run.observed import Observed, previous_of
from nplconf.run.reconcile import Review
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("plan", nargs="?", metavar="PLAN", help="show this plan; else what `plan` would decide here")
    parser.add_argument("--out", metavar="FILE", help="write the page there, not to stdout")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the report. For a plan alone, neither node nor cluster is needed."""
    if arguments.plan:
        report = html.of_plan(plans.read(arguments.plan))
    else:
        report = _of_node(look(settings, plans.bounds(None, settings)), settings)
    text = html.page(report)
    if arguments.out:
        write_output(arguments.out, text)
    else:
        print(text, end="")
    return 0


def _of_node(found: Review, settings: Settings) -> html.Report:
    decision, observed = found.decision, found.observed
    cooling = {
        c.number: f"last of {c.owner.pod}:{c.owner.port}"
        for c in previous_of(decision.live, observed, settings).for_last_owners
        if c.number not in set(numbers(decision.plan.mappings).values())
    }
    return html.of_decision(decision, _taken(observed), cooling)


def _taken(observed: Observed) -> dict[int, str]:
    """Return the ports that other programs have in any protocol, with their names."""
    return {taken.number: f"by {taken.by}" if taken.by else "" for taken in observed.holds.taken}
