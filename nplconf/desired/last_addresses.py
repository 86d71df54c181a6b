"""The addresses of the last run, used while the Node object has none.

A Node that is registered again has no addresses until the kubelet or the cloud provider sets them. Without addresses
every mapping would be removed; with fewer than ten mappings no limit would block that.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from nplconf.desired.addresses import given, matched_addresses
from nplconf.model import Family, Node
from nplconf.plan.state import State


class Addressed(NamedTuple):
    """A Node with addresses.

    Attributes:
        node: The Node object, with the addresses in use.
        overrides: The addresses to advertise instead of them.
        problem: Why the addresses are not those of the object; "" where they are.

    """

    node: Node
    overrides: dict[Family, str]
    problem: str = ""


def addressed(node: Node, state: State, overrides: dict[Family, str], mapped: Callable[[], object]) -> Addressed | None:
    """Return the Node as a run uses it; None where it has no address and the last run left none.

    Args:
        node: The Node object.
        state: What the last run left.
        overrides: The addresses that the configuration advertises.
        mapped: Returns whether a mapping is live. Without one, a Node without addresses loses nothing.

    """
    if any(matched_addresses(node, overrides).values()) or not mapped():
        return Addressed(node, overrides)
    known = tuple(("InternalIP", address) for family in state.addresses.values() for address in family)
    if not known:
        return None
    advertised = dict(state.plan.node_ips) if state.plan else {}
    problem = (
        f"Node {node.name} has no addresses in the cluster: those of the last run stay in use"
        f" ({', '.join(address for _, address in known)})"
    )
    return Addressed(replace(node, addresses=known), overrides | advertised | given(overrides), problem)
