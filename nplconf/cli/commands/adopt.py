"""`nplconf adopt`: take over the node ports of a stopped Antrea agent, with their numbers."""

import argparse
from collections.abc import Iterable
from typing import Any

from nplconf.characters import escaped
from nplconf.cli import messages, plans, record
from nplconf.cli.commands import apply as apply_command
from nplconf.cli.commands import plan as plan_command
from nplconf.cli.connections import connect, open_cluster, open_node
from nplconf.cluster import Cluster
from nplconf.deadline import ended_by_sigterm, limited
from nplconf.errors import UsageError
from nplconf.node import NodeAccess
from nplconf.output import data, structured, table
from nplconf.run.adopt import Adoption, adopt, preview
from nplconf.run.adoption import Adopted, Verdict
from nplconf.run.decision import Bounds
from nplconf.run.outcome import Result
from nplconf.settings import Settings

MARKS: dict[Verdict, str] = {"kept": "ok", "moved": "change", "withdrawn": "delete", "removed": "delete"}
"""The style of a table line, by verdict."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("--from", choices=("antrea",), default="antrea", help="whose node ports (antrea)")
    parser.add_argument("--check", "--dry-run", action="store_true", help="only list what would become of each port")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Return the exit code of the last run. With --check: 4 if nothing can be taken over, else 0."""
    if settings.no_cluster:
        raise UsageError("adopt needs a cluster: an address of a rule names its owner by the Pods of this node")
    if arguments.check:
        return _check(settings)
    found: list[Adoption] = []

    def carried_out(cluster: Cluster, node: NodeAccess, settings: Settings, bounds: Bounds) -> Result:
        found.append(adopt(cluster, node, settings, bounds))
        return found[0].result or Result(found[0].decision)

    both = connect(settings)
    with limited() as this, ended_by_sigterm(this):
        result, code = record.recorded(
            settings,
            both,
            lambda: apply_command.carry_out(
                settings, both, lambda: plans.bounds(None, settings, exact=settings.exact), carried_out
            ),
        )
    if settings.output == "table":
        if not settings.quiet:
            table.write(_lines(found[0].rows), settings)
        apply_command.report(result, settings)
    else:
        plan_command.report_blocked(result.decision)
        _print(data.apply(result), found[0].rows, settings)
        messages.failures(messages.error, result.failures)
    return code


def _check(settings: Settings) -> int:
    bounds = plans.bounds(None, settings, exact=settings.exact)
    found = preview(open_cluster(settings), open_node(settings), settings, bounds)
    plan_command.report_blocked(found.decision)
    if settings.output == "table":
        table.write([*_lines(found.rows), ("sum", _total(found.rows, settings))], settings)
    else:
        _print(data.plan(found.decision), found.rows, settings)
    return 4 if found.decision.blocked else 0


def _total(rows: Iterable[Adopted], settings: Settings) -> str:
    verdicts = [row.verdict for row in rows]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in MARKS)
    return f"Adopt on {settings.node}: {counts}. Nothing was changed."


def _lines(rows: Iterable[Adopted]) -> list[table.Line]:
    return [(MARKS[row.verdict], escaped(f"{row.verdict:9} {row.subject}: {row.message}")) for row in rows]


def _print(body: dict[str, Any], rows: Iterable[Adopted], settings: Settings) -> None:
    adopted = [
        {
            "nodePort": row.number,
            "protocol": row.protocol,
            "ipFamily": row.family,
            "pod": row.owner.pod if row.owner else None,
            "podPort": row.owner.port if row.owner else None,
            "decision": row.verdict,
            "message": row.message,
        }
        for row in rows
    ]
    print(structured.text(body | {"adopted": adopted}, settings.output), end="")
