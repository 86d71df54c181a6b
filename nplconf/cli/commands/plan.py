"""`nplconf plan [PLAN]`: show what `apply` would change on this node."""

import argparse

from nplconf.cli import messages, plans
from nplconf.cli.connections import preview
from nplconf.cli.files import write_output
from nplconf.errors import UsageError
from nplconf.output import data, structured, table
from nplconf.plan import document
from nplconf.run.decision import Decision
from nplconf.settings import Settings


def plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that `plan` and `apply` share."""
    parser.add_argument("plan", nargs="?", metavar="PLAN", help="a plan whose rows and numbers are binding")
    parser.add_argument("--detailed-exitcode", action="store_true", help="exit 2 when something is to change")
    parser.add_argument("--out", metavar="FILE", help="save the plan")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    plan_arguments(parser)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Decide and print. Nothing is changed."""
    check(arguments, settings)
    decision, observed, *_ = preview(settings, plans.bounds(arguments.plan, settings, exact=settings.exact))
    for warning in filter(None, (observed.loaded.warning, *decision.warnings, *decision.degraded)):
        messages.warning(warning)
    say_figures(decision)
    _report(decision, settings)
    save(decision, arguments.out)
    return _exit_code(decision, detailed=arguments.detailed_exitcode)


def check(arguments: argparse.Namespace, settings: Settings) -> None:
    """Raise UsageError without plan and cluster, BadConfigError as `plans.given`."""
    if not plans.given(arguments.plan, settings) and settings.no_cluster:
        raise UsageError("--no-cluster needs a PLAN: without either there is nothing to do")


def save(decision: Decision, out: str | None) -> None:
    """Write the plan to a file. If the cluster lacks this node, write nothing: the plan would have no mappings."""
    if out and not decision.unusable:
        write_output(out, document.dump(decision.plan))


def say_figures(decision: Decision) -> None:
    """With --verbose, log the figures that the decision is based on."""
    plan = decision.plan
    asked = f"{len(plan.mappings)} mappings are asked for, {len(plan.skipped)} are skipped"
    messages.info(f"{asked}, {len(decision.live)} are live, {len(decision.diff.changes)} differ")


def report_blocked(decision: Decision) -> None:
    """Log why a run changes nothing, or not everything."""
    if message := why_blocked(decision):
        messages.error(message)


def why_blocked(decision: Decision) -> str:
    """Return why a run changes nothing, or not everything; "" if it changes everything."""
    if decision.blocked:
        return f"blocked: {decision.blocked.message}"
    if decision.inexact:
        return "the plan differs from the cluster (see stale and pending), and --exact is given: nothing was changed"
    return ""


def _report(decision: Decision, settings: Settings) -> None:
    report_blocked(decision)
    messages.failures(messages.warning, decision.failures)
    if settings.output == "table":
        table.write(_lines(decision), settings)
    else:
        print(structured.review(data.plan(decision), settings.output), end="")


def _lines(decision: Decision) -> list[table.Line]:
    return [
        *table.changes(decision.diff.changes),
        *table.patches(decision.patches),
        *table.draining(decision.draining),
        *table.aliases(decision.aliases),
        *table.skipped(decision.plan.skipped),
        *table.blocked(decision.blocked),
        *table.stale(decision.stale),
        *table.pending(decision.pending),
        *table.findings(decision.findings),
        table.summary(decision.diff),
    ]


def _exit_code(decision: Decision, *, detailed: bool) -> int:
    if decision.blocked:
        return 4
    if decision.stale or decision.inexact:
        return 3
    return 2 if detailed and (decision.diff.changes or decision.patches or decision.findings) else 0
