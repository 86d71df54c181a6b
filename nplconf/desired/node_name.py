"""The Node object of this node: how the kubelet makes its name, and the message where no Node has it."""

from collections.abc import Iterable

from nplconf.desired.names import shown
from nplconf.errors import BadDataError
from nplconf.model import ClusterState, Node

CLOSEST = 3
"""How many Node names a message names."""


def of_host(hostname: str) -> str:
    """Return the Node name that the kubelet makes of a host name: trimmed, in lower case, without a trailing dot."""
    return hostname.strip().rstrip(".").lower()


def find_node(cluster: ClusterState, name: str) -> Node | None:
    """Return the Node object of that name; None if the snapshot does not have it."""
    return next((node for node in cluster.nodes if node.name == name), None)


def existing(cluster: ClusterState, name: str, origin: str, config: str) -> Node:
    """Return the Node object of that name. origin, config: see `missing`.

    Raises:
        BadDataError: The snapshot does not have it. The message names the closest ones.

    """
    node = find_node(cluster, name)
    if node is None:
        raise BadDataError(missing(name, (other.name for other in cluster.nodes), origin, config))
    return node


def missing(name: str, known: Iterable[str], origin: str, config: str) -> str:
    """Return the message for a Node that the cluster does not have.

    Args:
        name: The name that was looked for.
        known: The names of the Nodes that the cluster has, as far as they could be read.
        origin: Where the name comes from, "" where the administrator configured it.
        config: The path of the config file.

    """
    taken = f" (name taken from {origin})" if origin else ""
    found = closest(name, known)
    near = f" Closest names: {', '.join(map(shown, found))}." if found else ""
    return f'No Node named "{shown(name)}" in the cluster{taken}.{near} Set `node:` in {config} or pass --node.'


def closest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names that are most alike, the closest first: of the same host, or with nearly the same letters."""
    from difflib import SequenceMatcher  # 3 ms that only a wrong name costs

    def likeness(other: str) -> tuple[bool, float]:
        return host(other) == host(name), SequenceMatcher(None, name.lower(), other.lower()).ratio()

    ranked = sorted(((likeness(other), other) for other in known), key=lambda pair: (pair[0], pair[1]), reverse=True)
    return tuple(other for (same, ratio), other in ranked[:CLOSEST] if same or ratio >= 0.5)


def host(name: str) -> str:
    """Return the first label of a name, in lower case."""
    return name.lower().partition(".")[0]
