"""Check `node-name`: the cluster has a Node of the name that nplconf uses for this node."""

import shlex

from nplconf.desired import node_name as names
from nplconf.desired.names import shown
from nplconf.desired.node_name import find_node
from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.cluster import answers
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked
from nplconf.settings import Settings


def node_name(facts: Facts) -> Verdict:
    """The cluster has this Node."""
    settings, snapshot = facts.settings, facts.read(answers).snapshot
    if isinstance(snapshot, Unknown):
        return unchecked(snapshot)
    if find_node(snapshot, settings.node):
        origin = f" (name taken from {settings.node_origin})" if settings.node_origin else ""
        return ok(f"the cluster has Node {shown(settings.node)}{origin}")
    known = [node.name for node in snapshot.nodes]
    message = names.missing(settings.node, known, settings.node_origin, settings.config)
    return fail(message, _fix(settings, names.closest(settings.node, known)))


def _fix(settings: Settings, close: tuple[str, ...]) -> str:
    """Return the command that sets the closest name; without one, how to see the names."""
    if not close:
        return f"kubectl get nodes  # then set node: in {settings.config}"
    path = shlex.quote(settings.config)
    line = shlex.quote(f"node: {shown(close[0])}")
    return f"sed -i '/^node:/d' {path} && echo {line} >>{path}"


CHECKS = (Check("node-name", 170, node_name),)
