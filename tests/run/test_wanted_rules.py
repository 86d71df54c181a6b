"""The wanted rules: those that an earlier run has built are changed where few mappings differ, to the same result."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from seams import FakeNode

from nplconf.cache import Cache
from nplconf.model import FAMILIES, PROTOCOLS, Family, PortMapping, in_plan_order
from nplconf.rules import RuleBackend
from nplconf.rules.iptables import tree
from nplconf.rules.masquerade import Route, Routes
from nplconf.rules.nftables import lookup
from nplconf.rules.nftables.transaction import changed_keys, transaction
from nplconf.run.observed import Observed
from nplconf.run.reconcile import observe
from nplconf.run.wanted_rules import known_rules, rules_for

ADDRESSES: dict[Family, tuple[str, ...]] = {"IPv4": ("10.10.10.10",), "IPv6": ("fd00:10::10",)}
BRIDGED: Routes = (Route("10.244.3.0/24", bridged=True, device="cni0"),)
SOURCES: dict[Family, Sequence[tuple[str, ...]]] = {
    "IPv4": ((), ("10.0.0.0/8",), ("10.0.0.0/8", "10.1.0.0/16")),
    "IPv6": ((), ("fd00::/8",)),
}
KEYS = st.tuples(st.integers(61000, 61009), st.sampled_from(PROTOCOLS), st.sampled_from(FAMILIES))


@st.composite
def rows(draw: st.DrawFn) -> tuple[PortMapping, ...]:
    """Mappings of which a few are drawn. Several have one Pod, and one place may be there twice, as after a forgery."""
    unchanged = [worlds.mapping(port, family=family) for port in range(61020, 61040) for family in FAMILIES]
    drawn = []
    for port, protocol, family in draw(st.lists(KEYS, max_size=6)):
        number = draw(st.integers(1, 3))
        pod_ip = f"10.244.3.{number}" if family == "IPv4" else f"fd00:244::{number}"
        row = worlds.mapping(port, protocol, family, pod=worlds.ref(f"web-{number}"), pod_ip=pod_ip)
        drawn.append(row._replace(source_ranges=draw(st.sampled_from(SOURCES[family]))))
    return tuple(sorted((*unchanged, *drawn), key=in_plan_order))


def node(rules: RuleBackend[Any], routes: Routes) -> Observed:
    return replace(observe(FakeNode([])), rules=rules, routes=routes)


@pytest.mark.parametrize("routes", [(), BRIDGED], ids=["hairpin", "bridged"])
@pytest.mark.parametrize("rules", [lookup, tree], ids=["nftables", "iptables"])
@given(lists=st.lists(rows(), min_size=2, max_size=4))
def test_rules_from_earlier_ones_are_those_that_are_built_anew(
    rules: RuleBackend[Any], routes: Routes, lists: list[tuple[PortMapping, ...]]
) -> None:
    cache, observed = Cache(lasting=True), node(rules, routes)
    for mappings in lists:
        found = known_rules(mappings, ADDRESSES, worlds.RANGE, observed, cache)
        assert found == rules_for(mappings, ADDRESSES, worlds.RANGE, observed)


@pytest.mark.parametrize("routes", [(), BRIDGED], ids=["hairpin", "bridged"])
@given(lists=st.lists(rows(), min_size=2, max_size=4))
def test_a_transaction_to_rules_from_earlier_ones_is_that_to_rules_that_are_built_anew(
    routes: Routes, lists: list[tuple[PortMapping, ...]]
) -> None:
    cache, observed = Cache(lasting=True), node(lookup, routes)
    have: dict[Family, Any] = {}
    for mappings in lists:
        want = known_rules(mappings, ADDRESSES, worlds.RANGE, observed, cache)
        alone = rules_for(mappings, ADDRESSES, worlds.RANGE, observed)
        for family, there in have.items():
            assert changed_keys(there, want[family]) == changed_keys(there, alone[family])
            assert lines(transaction([(there, want[family])])) == lines(transaction([(there, alone[family])]))
        have = want


def lines(text: str) -> list[str]:
    """The lines of a transaction, whose elements may come in any order."""
    return sorted(line.rstrip(",") for line in text.splitlines())


def test_one_change_among_many_mappings_does_not_build_the_others_again() -> None:
    built = []

    class Counting:
        """The nftables backend, which counts what it builds."""

        def __getattr__(self, name: str) -> object:
            if name == "build":
                built.append(name)
            return getattr(lookup, name)

    cache, observed = Cache(lasting=True), node(Counting(), ())  # type: ignore[arg-type]
    mappings = tuple(worlds.mapping(port) for port in range(61000, 61100))
    known_rules(mappings, ADDRESSES, worlds.RANGE, observed, cache)
    assert built
    built.clear()
    known_rules((*mappings[:50], *mappings[51:]), ADDRESSES, worlds.RANGE, observed, cache)
    assert not built


def test_other_addresses_and_routes_need_other_rules() -> None:
    cache, mappings = Cache(lasting=True), (worlds.mapping(61000), worlds.mapping(61001))
    moved: dict[Family, tuple[str, ...]] = {"IPv4": ("10.10.10.11",)}
    for addresses in (ADDRESSES, moved):
        for routes in ((), BRIDGED):
            observed = node(lookup, routes)
            found = known_rules(mappings, addresses, worlds.RANGE, observed, cache)
            assert found == rules_for(mappings, addresses, worlds.RANGE, observed)
