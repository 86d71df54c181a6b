"""`nplconf watch`: apply whenever an event makes it necessary, and every --resync seconds in any case."""

import argparse
from typing import TYPE_CHECKING

from nplconf.cli import messages, record
from nplconf.cli.commands import apply
from nplconf.cli.commands import plan as plan_command
from nplconf.cli.connections import connect
from nplconf.cli.inputs import FollowedInputs
from nplconf.cli.job import WatchJob
from nplconf.cluster import Cluster
from nplconf.deadline import limited
from nplconf.errors import BadConfigError, PermissionDeniedError, UnavailableError, UsageError
from nplconf.node import datapath
from nplconf.node.state import make_directory
from nplconf.settings import Settings
from nplconf.watch import memory
from nplconf.watch.drift import Monitor
from nplconf.watch.files import notice
from nplconf.watch.hub import Hub
from nplconf.watch.loop import LAST_SECONDS, Stop, follow, stoppable
from nplconf.watch.mirror import Mirror

if TYPE_CHECKING:
    from nplconf.watch.metrics import Metrics

FIRST_LISTS_SECONDS = 20.0
"""Seconds that the first run waits for the first lists."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("plan", nargs="?", metavar="PLAN", help="a plan whose rows and numbers are binding")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Follow the cluster and the node until SIGTERM. Raises as `apply` if it cannot start."""
    _check(arguments, settings)
    memory.limit_heaps()
    with stoppable() as stop:
        inputs = FollowedInputs(arguments, settings)
        hub = Hub(Mirror.of_node(settings.node) if _follows_api(settings) else Mirror({}))
        try:
            cluster = _followed(hub, settings) if _follows_api(settings) else None
        except (BadConfigError, UnavailableError, PermissionDeniedError):
            _restore(inputs, settings, stop)
            raise
        job = WatchJob(inputs, hub, cluster, _served(hub, settings))
        Monitor(hub.drifted).start()
        notice(inputs.paths, hub.edited)
        hub.first_lists(FIRST_LISTS_SECONDS)
        follow(hub, job, stop)
    return 0


def _check(arguments: argparse.Namespace, settings: Settings) -> None:
    plan_command.check(arguments, settings)
    if "-" in (arguments.plan, *settings.cluster_state):
        raise UsageError("watch reads its files again and again: it takes no - (stdin)")
    if settings.write_back and not settings.cluster_state:
        raise UsageError("--write-back needs --cluster-state: an API server is written to anyway")
    if settings.cluster_state:
        from nplconf.cluster.file.dump import refuse_unreadable

        refuse_unreadable(settings.cluster_state)
    if not settings.force:
        datapath.refuse_bypass()
    make_directory(settings.state_dir)


def _follows_api(settings: Settings) -> bool:
    return not settings.cluster_state and not settings.no_cluster


def _followed(hub: Hub, settings: Settings) -> Cluster:
    """Start to watch the API server.

    Raises:
        BadConfigError: There are no credentials, or they are broken.
        UnavailableError: A plugin returns none.
        PermissionDeniedError: Their file cannot be read.
    """
    from nplconf.cluster.api.client import ApiCluster
    from nplconf.watch import source
    from nplconf.watch.cluster import WatchedCluster

    api = ApiCluster(settings.kubeconfig, messages.warning)
    source.start(hub, api.credentials(), source.of_node(settings.node))
    return WatchedCluster(hub, api)


def _restore(inputs: FollowedInputs, settings: Settings, stop: Stop) -> None:
    """Make one run of `apply`: without credentials it restores the last good plan, and raises their error."""
    connections = connect(settings)
    with limited(last=LAST_SECONDS) as stop.run:
        record.recorded(settings, connections, lambda: apply.carry_out(settings, connections, inputs.bounds))


def _served(hub: Hub, settings: Settings) -> "Metrics | None":
    if not settings.listen:
        return None
    from nplconf.watch.metrics import Metrics
    from nplconf.watch.server import serve

    metrics = Metrics(hub)
    serve(settings.listen, metrics)
    return metrics
