"""The two worlds of a run, as the settings name them."""

import functools

from nplconf.cli import say
from nplconf.cluster import Cluster
from nplconf.errors import UsageError
from nplconf.node.linux import LinuxNode
from nplconf.settings import Settings


def open_cluster(settings: Settings) -> Cluster:
    """Files where there are any, else the API server; nothing is read yet."""
    if settings.cluster_state:
        from nplconf.cluster.file import FileCluster

        say.info(f"cluster state: {', '.join(settings.cluster_state)}")
        return FileCluster(settings.cluster_state, settings.write_back)
    if settings.write_back:
        raise UsageError("--write-back needs --cluster-state: an API server is written to anyway")
    from nplconf.cluster.api import ApiCluster

    say.info("cluster state: the API server's")
    return ApiCluster(settings.kubeconfig, say.info if settings.quiet else say.warning)


@functools.cache
def open_node(settings: Settings) -> LinuxNode:
    """The machine we are on; nothing is read yet but the choice of the iptables backend."""
    node = LinuxNode.open(settings)
    say.info(
        f"node {settings.node}: iptables-{node.backend}, range {settings.port_range}, state in {settings.state_dir}"
    )
    return node
