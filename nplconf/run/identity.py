"""The cluster that this node belongs to, and whether a snapshot or a plan is of that cluster.

A cluster is known by two UIDs: that of the Service default/kubernetes and that of the Node object. If one of them is
unchanged it is the same cluster. The API server makes that Service again with another UID when somebody deletes it or
the Service network changes; a node that is registered again has another Node UID.
"""

from dataclasses import replace

from nplconf.desired.names import identifier
from nplconf.model import ClusterState, Node, Plan
from nplconf.plan.limits import Blocked
from nplconf.plan.state import State

FORMER = 8
"""The most former UIDs of default/kubernetes that the state file keeps: plans that name them still count."""


def other_cluster(state: State, cluster: ClusterState, node: Node | None) -> Blocked | None:
    """Return a limit that blocks the whole run where the snapshot is of another cluster."""
    known, found = state.cluster, cluster.identity
    if not known or not found or known == found or _same_node(state, node):
        return None
    return Blocked(
        "cluster",
        f"the cluster state is of another cluster ({found}) than this node's ({known}). Nothing was changed. If the"
        " node was moved to this cluster: nplconf cleanup, then nplconf apply",
    )


def foreign_plan(state: State, plan: Plan, identity: str | None) -> Blocked | None:
    """Return a limit where a plan is of another cluster.

    Args:
        state: What the last run left.
        plan: The plan.
        identity: The identity of the cluster as read; None where no cluster was read.

    """
    accepted = {identity, state.cluster, *state.former_clusters} - {None}
    if not accepted or not plan.cluster or plan.cluster in accepted:
        return None
    known = identity or state.cluster
    return Blocked(
        "cluster",
        f"the plan is of another cluster ({plan.cluster}) than this node's ({known}). Nothing was changed. Render the"
        " plan again from this cluster",
    )


def adopted(state: State, cluster: ClusterState, node: Node) -> State:
    """Return the state with the identity that the snapshot shows."""
    former = state.former_clusters
    if renamed(state, cluster):
        former = (*(uid for uid in former if uid != cluster.identity), str(state.cluster))[-FORMER:]
    return replace(
        state,
        cluster=cluster.identity or state.cluster,
        former_clusters=former,
        node_uid=node.uid if identifier(node.uid) else state.node_uid,
    )


def renamed(state: State, cluster: ClusterState) -> str:
    """Return a warning where the same cluster has a new identity, else ""."""
    known, found = state.cluster, cluster.identity
    if not known or not found or known == found:
        return ""
    return (
        f"the Service default/kubernetes was created again (UID {found}, before {known}). The Node object is the same,"
        " so this is the same cluster: the new UID is adopted"
    )


def _same_node(state: State, node: Node | None) -> bool:
    return node is not None and identifier(node.uid) and node.uid == state.node_uid
