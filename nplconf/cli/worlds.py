"""The two worlds of a run, as the settings name them, and one look at both."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from nplconf.cli import say
from nplconf.cluster import Cluster
from nplconf.errors import UsageError
from nplconf.node.linux import LinuxNode
from nplconf.settings import Settings

if TYPE_CHECKING:
    from nplconf.node import Node
    from nplconf.run.decision import Bounds
    from nplconf.run.reconcile import Review


class Worlds(NamedTuple):
    """How a run gets at both worlds. Each is opened once, when it is needed: a plan without a cluster needs none."""

    node: "Callable[[], Node]"
    cluster: Callable[[], Cluster]


def worlds(settings: Settings) -> Worlds:
    """Return the worlds of one run."""
    return Worlds(functools.cache(lambda: open_node(settings)), functools.cache(lambda: open_cluster(settings)))


def open_cluster(settings: Settings) -> Cluster:
    """Files where there are any, else the API server; nothing is read yet."""
    if settings.cluster_state:
        from nplconf.cluster.file.dump import FileCluster

        say.info(f"cluster state: {', '.join(settings.cluster_state)}")
        return FileCluster(settings.cluster_state, settings.write_back)
    if settings.write_back:
        raise UsageError("--write-back needs --cluster-state: an API server is written to anyway")
    from nplconf.cluster.api.client import ApiCluster

    say.info("cluster state: the API server's")
    return ApiCluster(settings.kubeconfig, say.info if settings.quiet else say.warning)


def open_node(settings: Settings) -> LinuxNode:
    """Open this machine. Nothing is read yet but what chooses the backend of rules."""
    node = LinuxNode.open(settings)
    say.info(f"node {settings.node}: {node.backend}, range {settings.port_range}, state in {settings.state_dir}")
    return node


def look(settings: Settings, bounds: "Bounds") -> "Review":
    """Compare the node with what it must be, also beside an Antrea agent; nothing is changed."""
    return preview(replace(settings, force=True), bounds)


def preview(settings: Settings, bounds: "Bounds") -> "Review":
    """What a run would decide now; nothing is changed. With --no-cluster a plan is taken at its word."""
    from nplconf.run.reconcile import review, review_plan

    if bounds.plan and settings.no_cluster:
        return review_plan(open_node(settings), settings, bounds.plan)
    return review(open_cluster(settings), open_node(settings), settings, bounds)
