"""The Node object of this node, its name, and the message if no Node has it."""

import pytest
from worlds import cluster, node

from nplconf.desired.node_name import closest, existing, find_node, missing, of_host
from nplconf.errors import BadDataError


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("worker-1", "worker-1"),
        ("AKS-Pool1-VMSS00000A", "aks-pool1-vmss00000a"),
        ("worker-1.example.com.", "worker-1.example.com"),
        (" Worker-1.\n", "worker-1"),
    ],
)
def test_a_host_name_becomes_the_name_that_the_kubelet_registers(hostname: str, name: str) -> None:
    assert of_host(hostname) == name


def test_a_node_is_found_by_its_exact_name() -> None:
    state = cluster(node("a"), node("b"))
    assert find_node(state, "b") == existing(state, "b", "", "/c") == node("b")
    assert find_node(state, "B") is None
    with pytest.raises(BadDataError, match="Closest names: b"):
        existing(state, "B", "", "/c")


def test_the_message_names_the_origin_the_closest_nodes_and_the_key() -> None:
    known = ["worker-1.example.com", "worker-2.example.com", "gpu"]
    reported = missing("worker-1", known, "the host name", "/etc/nplconf/config.yaml")
    assert reported == (
        'No Node named "worker-1" in the cluster (name taken from the host name).'
        " Closest names: worker-1.example.com, worker-2.example.com."
        " Set `node:` in /etc/nplconf/config.yaml or pass --node."
    )
    assert missing("a", [], "", "/c") == 'No Node named "a" in the cluster. Set `node:` in /c or pass --node.'


def test_a_name_cannot_change_a_message() -> None:
    assert "\n" not in missing("a\nb", ["a\nc"], "", "/c")


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("Worker-1", ["worker-1", "worker-2"], "worker-1"),
        ("worker-1.internal", ["worker-10", "worker-1"], "worker-1"),
        ("ip-10-0-0-7", ["ip-10-0-0-8.ec2.internal", "ip-10-0-0-7.ec2.internal"], "ip-10-0-0-7.ec2.internal"),
    ],
)
def test_the_closest_name_is_first(name: str, known: list[str], near: str) -> None:
    assert closest(name, known)[0] == near


def test_different_names_are_not_suggested() -> None:
    assert closest("worker-1", ["xyz", "q"]) == ()
    assert len(closest("node", [f"node{i}" for i in range(9)])) == 3
