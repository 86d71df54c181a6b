"""`nplconf render`: make a plan from a cluster state."""

import argparse
from pathlib import Path

from nplconf.cli import plans
from nplconf.cli.connections import open_cluster
from nplconf.cli.files import write_output
from nplconf.desired import node_name
from nplconf.desired.names import subdomain
from nplconf.desired.ports import Previous
from nplconf.desired.render import Desired, render
from nplconf.errors import BadDataError, UsageError
from nplconf.model import Plan
from nplconf.output import structured
from nplconf.plan import document
from nplconf.plan.live import numbers
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument(
        "--out", metavar="FILE", help="write the plan there; the FILE that is there is the previous plan"
    )
    parser.add_argument("--all-nodes", action="store_true", help="one plan per node, --out is their directory")
    parser.add_argument(
        "--prune", action="store_true", help="with --all-nodes: remove the plans of nodes that are gone"
    )
    parser.add_argument("--previous", metavar="PLAN", help="keep this plan's numbers")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Render a plan. The result depends only on the cluster state and the previous plan; no node is read."""
    if arguments.all_nodes:
        if not arguments.out or arguments.previous:
            raise UsageError("--all-nodes needs --out DIR, where each node's previous plan is, too")
        from nplconf.cli.commands import render_all

        return render_all.run(arguments.out, settings, prune=arguments.prune)
    if arguments.prune:
        raise UsageError("--prune goes with --all-nodes")
    if not subdomain(settings.node):
        raise BadDataError(f"{settings.node}: no DNS name, so no node's: there is no plan for it")
    cluster = open_cluster(settings).snapshot(settings.node)
    node = node_name.existing(cluster, settings.node, settings.node_origin, settings.config)
    requests = Desired(
        settings.port_range, settings.node_ips, plans.policy(settings), settings.namespace_share, settings.protocols
    )
    before = _previous(arguments.previous, arguments.out)
    past = Previous(numbers=(numbers(before.mappings),)) if before else Previous()
    plan = render(cluster, node, requests, past)
    text = structured.text(document.to_data(plan), "json") if settings.output == "json" else document.dump(plan)
    if arguments.out:
        write_output(arguments.out, text)
    else:
        print(text, end="")
    return 0


def _previous(named: str | None, out: str | None) -> Plan | None:
    if named:
        return plans.read(named)
    return plans.read(out) if out and _may_be_plan(out) else None


def _may_be_plan(path: str) -> bool:
    """Return whether a path exists and can be read; /dev/stdout cannot."""
    there = Path(path)
    return there.is_file() or there.is_dir()
