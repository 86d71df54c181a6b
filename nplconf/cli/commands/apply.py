"""`nplconf apply [PLAN]`: write the wanted rules, verify them, and annotate the Pods."""

import argparse
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from nplconf.cli import messages, options, plans, record
from nplconf.cli.commands import plan as plan_command
from nplconf.cli.connections import Connections, connect
from nplconf.cluster import Cluster
from nplconf.deadline import ended_by_sigterm, limited
from nplconf.errors import BadConfigError, BadDataError, NplconfError
from nplconf.node import NodeAccess, datapath, reported, state
from nplconf.node.lock import locked
from nplconf.output import data, structured, table
from nplconf.run.decision import Bounds, Decision
from nplconf.run.outcome import Result
from nplconf.run.reconcile import apply, apply_plan, heal_to_last, keep_last
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    plan_command.plan_arguments(parser)
    parser.add_argument("--check", "--dry-run", action="store_true", help="only show what would change, as `plan` does")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Carry out one run under the node's lock, and return its exit code."""
    if arguments.check:
        return plan_command.run(arguments, settings)
    both = connect(settings)
    with limited() as this, ended_by_sigterm(this):
        result, code = record.recorded(settings, both, lambda: _run(arguments, settings, both))
    report(result, settings)
    plan_command.save(result.decision, arguments.out)
    return code


def resolve(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Return the settings, as for every command. A broken config file counts as a failed run in the metrics."""
    try:
        return options.resolve(given, environ)
    except BadConfigError as err:
        if not given.get("check"):
            record.failed(options.salvaged(given, environ), err.exit_code)
        raise


def _run(arguments: argparse.Namespace, settings: Settings, connections: Connections) -> Result:
    plan_command.check(arguments, settings)
    return carry_out(settings, connections, lambda: plans.bounds(arguments.plan, settings, exact=settings.exact))


Run = Callable[[Cluster, NodeAccess, Settings, Bounds], Result]


def carry_out(settings: Settings, connections: Connections, bounds: Callable[[], Bounds], run: Run = apply) -> Result:
    """Carry out one run under the node's lock.

    Args:
        settings: Those of this run.
        connections: The cluster and the node.
        bounds: Reads the plan or the policy; called under the lock. If it raises BadDataError, the node is restored
            to the last good plan, and the error is raised again.
        run: The function that carries out a run with a cluster.
    """
    if not settings.force:
        datapath.refuse_bypass()
    state.make_directory(settings.state_dir)
    with contextlib.suppress(OSError):
        if found := state.openness(settings.state_dir):
            messages.warning(f"{found.fault}. Fix: {found.fix}")
    with locked(settings.state_dir):
        node = connections.node()
        try:
            given = bounds()
        except BadDataError as err:
            _keep_last(node, connections, settings, err)
            raise
        if given.plan and settings.no_cluster:
            return apply_plan(node, settings, given.plan)
        return run(connections.cluster(), node, settings, given)


def _keep_last(node: NodeAccess, connections: Connections, settings: Settings, why: BadDataError) -> None:
    """Restore the node to the last good plan. An unreadable plan requests no change."""
    try:
        result = _kept(node, connections, settings, str(why))
    except NplconfError as err:
        messages.error(f"nothing was changed: {err}")
        return
    if result is None:
        messages.error("nothing was changed: no plan was applied since this boot that the node could be repaired to")
        return
    for message in (*result.warnings, *result.degraded):
        messages.warning(message)
    messages.failures(messages.error, result.failures)


def _kept(node: NodeAccess, connections: Connections, settings: Settings, why: str) -> Result | None:
    if settings.no_cluster:
        return heal_to_last(node, settings, why)
    try:
        cluster = connections.cluster()
    except NplconfError:
        return heal_to_last(node, settings, why)
    return keep_last(cluster, node, settings, why)


def report(result: Result, settings: Settings) -> None:
    """Print the result of a run, and log its warnings and errors."""
    decision = result.decision
    plan_command.say_figures(decision)
    if settings.no_hold and not settings.quiet:
        messages.warning("--no-hold: nothing keeps other programs from the node ports in use")
    for message in result.warnings:
        messages.warning(message)
    if settings.quiet and messages.to_journal():
        _log_lasting(decision, settings)
    else:
        plan_command.report_blocked(decision)
    for message in result.degraded:
        messages.error(message)
    if settings.output != "table":
        print(structured.review(data.apply(result), settings.output), end="")
    elif not settings.quiet:
        table.write(_lines(result), settings)
    if settings.quiet or settings.output != "table":
        _log(result, settings)


def _log_lasting(decision: Decision, settings: Settings) -> None:
    """Log lasting conditions once: the reason of a blocked run, and each stale row. Only a person can end them."""
    why = plan_command.why_blocked(decision)
    rows = [text.removeprefix("! ") for _, text in table.stale(decision.stale)]
    for message in reported.new(settings.state_dir, [*filter(None, [why]), *rows]):
        (messages.error if message == why else messages.warning)(message)


def _lines(result: Result) -> list[table.Line]:
    decision = result.decision
    return [
        *table.changes(result.done),
        *table.patches(result.patches),
        *table.draining(decision.draining),
        *table.aliases(decision.aliases),
        *table.skipped(decision.plan.skipped),
        *table.blocked(decision.blocked),
        *table.stale(decision.stale),
        *table.pending(decision.pending),
        *table.failures(result.failures),
        table.recap(decision.plan.node, data.recap(result), result.degraded),
    ]


def _log(result: Result, settings: Settings) -> None:
    """Log one record per changed mapping and per failure."""
    if settings.quiet:
        messages.changes(result.done, lambda change: f"{change.action} {table.change(change)}", data.change_record)
    messages.failures(messages.error, result.failures)
