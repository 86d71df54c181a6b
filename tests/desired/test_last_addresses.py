"""The addresses of the last run, while the Node object has none."""

from dataclasses import replace

from worlds import node, plan

from nplconf.desired.last_addresses import addressed
from nplconf.plan.state import State

BARE = replace(node(), addresses=())
KNOWN = State(addresses={"IPv4": ("10.10.10.10", "192.0.2.7"), "IPv6": ()}, plan=plan())


def test_the_addresses_of_the_object_are_used_where_it_has_any() -> None:
    used = addressed(node(), KNOWN, {}, lambda: True)
    assert used
    assert (used.node, used.overrides, used.problem) == (node(), {}, "")


def test_a_node_without_addresses_gets_those_of_the_last_run_and_the_reason_names_them() -> None:
    used = addressed(BARE, KNOWN, {}, lambda: True)
    assert used
    assert used.node.addresses == (("InternalIP", "10.10.10.10"), ("InternalIP", "192.0.2.7"))
    assert used.overrides == dict(plan().node_ips)
    assert "10.10.10.10, 192.0.2.7" in used.problem


def test_an_address_that_is_configured_counts_more_than_that_of_the_last_plan() -> None:
    used = addressed(BARE, KNOWN, {"IPv4": "ExternalIP|198.51.100.0/24"}, lambda: True)
    assert used
    assert used.overrides["IPv4"] == plan().node_ips["IPv4"], "a type is no address"
    assert addressed(BARE, KNOWN, {"IPv4": "198.51.100.9"}, lambda: True) == (BARE, {"IPv4": "198.51.100.9"}, "")


def test_without_a_live_mapping_nothing_can_be_lost_and_without_a_last_run_nothing_is_known() -> None:
    assert addressed(BARE, KNOWN, {}, lambda: False) == (BARE, {}, "")
    assert addressed(BARE, State(), {}, lambda: True) is None
