"""The live rules as mappings."""

from typing import Any

import pytest
from worlds import mapping, ref

from nplconf.model import LiveRule, PodPort, RuleKey
from nplconf.plan.live import NOBODY, live_mappings, numbers
from nplconf.rules import owner

KEY = RuleKey(61044, "IPv4", "tcp")


def rule(tag: str, port: int = 8080, key: RuleKey = KEY) -> LiveRule:
    return LiveRule(key, "10.244.3.17", port, tag)


def test_a_rule_names_its_owner_without_the_state_file() -> None:
    (found,) = live_mappings([rule(owner.tag(ref(), 8080))], (), {"IPv4": "10.10.10.10"})
    assert (found.pod, found.pod_port, found.services, found.node_ip) == (ref(), 8080, (), "10.10.10.10")


def test_the_state_adds_what_the_rule_does_not_have() -> None:
    assert live_mappings([rule(owner.tag(ref(), 8080))], [mapping()], {}) == (mapping(),)


@pytest.mark.parametrize(
    ("rule", "known"),
    [
        ({"pod_ip": "10.244.3.99"}, {}),
        ({"source_ranges": ("10.0.0.0/8",)}, {"source_ranges": ("192.0.2.0/24",)}),
        ({}, {"source_ranges": ("192.0.2.0/24",)}),
        ({}, {"via": "hostPort"}),
    ],
    ids=["address", "source ranges", "no source ranges", "a hostPort by now"],
)
def test_the_rule_takes_precedence_over_the_state(rule: dict[str, Any], known: dict[str, Any]) -> None:
    there = LiveRule(KEY, "10.244.3.17", 8080, owner.tag(ref(), 8080))._replace(**rule)
    (found,) = live_mappings([there], [mapping()._replace(node_ip="192.0.2.1", **known)], {"IPv4": "10.10.10.10"})
    assert (found.pod_ip, found.source_ranges, found.via) == (there.pod_ip, there.source_ranges, "dnat")
    assert (found.node_ip, found.services) == ("192.0.2.1", ("shop/web",))


def test_a_rule_at_a_number_that_is_not_remembered_has_its_owners_services_and_the_nodes_address() -> None:
    (found,) = live_mappings([rule(owner.tag(ref(), 8080))], [mapping(61099)], {"IPv4": "10.10.10.10"})
    assert (found.node_port, found.services, found.node_ip) == (61044, ("shop/web",), "10.10.10.10")


def test_each_family_of_a_pod_port_has_its_own_services() -> None:
    known = [mapping(services=["shop/a", "shop/b"]), mapping(family="IPv6", services=["shop/b"])]
    key = RuleKey(61044, "IPv6", "tcp")
    (found,) = live_mappings([LiveRule(key, "fd00:244::99", 8080, owner.tag(ref(), 8080))], known, {})
    assert found.services == ("shop/b",)


def test_an_unknown_address_is_empty() -> None:
    assert live_mappings([rule("")], (), {})[0].node_ip == ""


def test_mappings_are_sorted_by_number_then_family_then_protocol() -> None:
    keys = [RuleKey(n, f, p) for n in (61001, 61000) for f in ("IPv6", "IPv4") for p in ("udp", "tcp")]
    found = live_mappings([rule("", key=key) for key in keys], (), {})
    assert [m.key for m in found] == sorted(keys)


def test_the_owner_of_a_hashed_tag_is_found_among_the_known() -> None:
    long = ref("x" * 200)
    (found,) = live_mappings([rule(owner.tag(long, 8080))], [mapping(61099, pod=long)], {})
    assert found.pod == long


def test_a_forged_or_missing_tag_has_no_owner() -> None:
    tags = ["", "nplconf:#" + "0" * 64, "nplconf:shop", "hello"]
    assert {m.pod for m in live_mappings(map(rule, tags), (), {})} == {NOBODY}


def test_a_tag_that_does_not_fit_its_rule_is_not_trusted() -> None:
    assert live_mappings([rule(owner.tag(ref(), 8080), port=9999)], (), {})[0].pod == NOBODY
    assert live_mappings([rule(owner.tag(ref(), 8080), port=9999)], [mapping()], {})[0].pod == NOBODY


def test_numbers_are_the_owners_and_nobodys_are_left_out() -> None:
    rows = [mapping(61002), mapping(61001), mapping(61003, pod=NOBODY), mapping(4001, pod_port=1, via="hostPort")]
    assert numbers(rows) == numbers(rows[::-1]) == {PodPort("shop/web-0", 8080): 61001}


@pytest.mark.parametrize("planned", [("10.0.0.0/8", "9.0.0.0/8"), ("9.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16")])
def test_sources_are_the_same_in_any_order_and_with_others_in_them(planned: tuple[str, ...]) -> None:
    known = mapping()._replace(source_ranges=planned)
    there = LiveRule(KEY, "10.244.3.17", 8080, owner.tag(ref(), 8080), ("9.0.0.0/8", "10.0.0.0/8"))
    assert live_mappings([there], [known], {}) == (known,)
    (less,) = live_mappings([there._replace(source_ranges=("9.0.0.0/8",))], [known], {})
    assert less.source_ranges == ("9.0.0.0/8",)
    (everybody,) = live_mappings([there._replace(source_ranges=())], [known], {})
    assert everybody.source_ranges == ()
