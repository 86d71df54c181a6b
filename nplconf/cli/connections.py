"""Open the cluster and the node of a run according to the settings."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from nplconf.cli import messages
from nplconf.cluster import Cluster
from nplconf.errors import UsageError
from nplconf.node.linux import LinuxNode
from nplconf.settings import Settings

if TYPE_CHECKING:
    from nplconf.node import NodeAccess
    from nplconf.run.decision import Bounds
    from nplconf.run.reconcile import Review


class Connections(NamedTuple):
    """The functions that open the cluster and the node. Each is opened once, when needed: some runs need no cluster."""

    node: "Callable[[], NodeAccess]"
    cluster: Callable[[], Cluster]


def connect(settings: Settings) -> Connections:
    """Return the functions for one run."""
    return Connections(functools.cache(lambda: open_node(settings)), functools.cache(lambda: open_cluster(settings)))


def open_cluster(settings: Settings) -> Cluster:
    """Return the cluster in files, or else the API server. Nothing is read yet."""
    if settings.cluster_state:
        from nplconf.cluster.file.dump import FileCluster

        messages.info(f"cluster state: {', '.join(settings.cluster_state)}")
        return FileCluster(settings.cluster_state, settings.write_back)
    if settings.write_back:
        raise UsageError("--write-back needs --cluster-state: an API server is written to anyway")
    from nplconf.cluster.api.client import ApiCluster

    messages.info("cluster state: the API server's")
    return ApiCluster(settings.kubeconfig, messages.info if settings.quiet else messages.warning)


def open_node(settings: Settings) -> LinuxNode:
    """Open this machine. Nothing is read yet, except to choose the backend."""
    node = LinuxNode.open(settings)
    messages.info(f"node {settings.node}: {node.backend}, range {settings.port_range}, state in {settings.state_dir}")
    return node


def look(settings: Settings, bounds: "Bounds") -> "Review":
    """Compare the node with the wanted state, even beside an Antrea agent. Nothing is changed."""
    return preview(replace(settings, force=True), bounds)


def preview(settings: Settings, bounds: "Bounds") -> "Review":
    """Return what a run would decide now. Nothing is changed.

    With --no-cluster, every row of the plan counts as requested.
    """
    from nplconf.run.reconcile import review, review_plan

    if bounds.plan and settings.no_cluster:
        return review_plan(open_node(settings), settings, bounds.plan)
    return review(open_cluster(settings), open_node(settings), settings, bounds)
