"""The mappings in force are those that the rules say, also where they are taken from the last plan."""

from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import SETTINGS
from worlds import BOTH, NODE_IPS, RANGE, mapping, plan, ref

from nplconf.cache import Cache
from nplconf.model import FAMILIES, Family, Holds, PortMapping
from nplconf.plan.state import Loaded, State
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.table import read
from nplconf.rules.nftables import lookup
from nplconf.rules.nftables.table import NftTable
from nplconf.run.in_force import in_force
from nplconf.run.observed import Observed, live_now
from nplconf.run.wanted_rules import rules_for

BACKENDS = pytest.mark.parametrize("backend", [tree, lookup], ids=["iptables", "nftables"])
ADDRESSES: dict[Family, tuple[str, ...]] = {family: (NODE_IPS[family],) for family in FAMILIES}
LONG = ref("web-1", uid="u" * 128)
"""A Pod whose tag is a hash."""
ROWS = st.builds(
    lambda number, protocol, family, pod, port, sources, via: mapping(
        number, protocol, family, pod=pod, pod_port=port, via=via
    )._replace(source_ranges=sources.get(family, ())),
    st.integers(61000, 61003),
    st.sampled_from(("tcp", "udp")),
    st.sampled_from(BOTH),
    st.sampled_from((ref(), ref(uid="new"), LONG)),
    st.sampled_from((8080, 9090)),
    st.sampled_from(({}, {"IPv4": ("10.1.0.0/16",)}, {"IPv4": ("10.1.0.0/17", "10.1.128.0/17")})),
    st.sampled_from(("dnat", "dnat", "dnat", "hostPort")),
)


def unique(rows: list[PortMapping]) -> tuple[PortMapping, ...]:
    return tuple({m.key: m for m in rows}.values())


def on_node(
    backend: ModuleType, live: tuple[PortMapping, ...], planned: tuple[PortMapping, ...], **facts: Any
) -> Observed:
    """A node with the rules of some mappings, whose last plan had others."""
    node = Observed(
        loaded=Loaded(State(boot="boot-1", plan=plan(*planned), addresses=ADDRESSES)),
        boot="boot-1",
        now=1000.0,
        backend="nftables",
        rules=backend,
        found={},
        unreadable={},
        leftovers={},
        holds=Holds(available=True, ranges=(RANGE,)),
        routes=(),
    )
    empty = NftTable() if backend is lookup else read("")
    found = rules_for(live, ADDRESSES, RANGE, node) if live else dict.fromkeys(FAMILIES, empty)
    return replace(node, **{"found": found, **facts})


@BACKENDS
@given(st.lists(ROWS, max_size=5), st.lists(ROWS, max_size=2), st.sets(st.integers(0, 4)), st.data())
def test_they_are_those_that_the_rules_say(
    backend: ModuleType, rows: list[PortMapping], others: list[PortMapping], gone: set[int], data: st.DataObject
) -> None:
    planned = data.draw(st.sampled_from((unique(rows), tuple(rows))), label="planned")
    live = unique([*(row for i, row in enumerate(rows) if i not in gone), *others])
    node = on_node(backend, live, planned)
    if data.draw(st.booleans(), label="a family that cannot be read"):
        node = replace(node, found={"IPv4": node.found["IPv4"]}, unreadable={"IPv6": "no answer"})
    pods = (ref(), LONG)
    for _ in range(2):
        assert in_force(node, SETTINGS, pods, Cache()) == live_now(node, SETTINGS, pods)


@BACKENDS
def test_rules_that_equal_those_of_the_last_plan_are_not_read_one_by_one(backend: ModuleType) -> None:
    def live(*_: object) -> None:
        raise AssertionError("read one by one")

    rows = (mapping(61001), mapping(61002, "udp"), mapping(61003, family="IPv6"))
    node = on_node(backend, rows, (*rows, mapping(61004, via="hostPort")))
    unread: Any = SimpleNamespace(**{**vars(backend), "live": live})
    assert in_force(replace(node, rules=unread), SETTINGS, (), Cache()) == rows


@BACKENDS
def test_a_rule_at_another_address_of_the_node_makes_no_difference_to_what_is_in_force(backend: ModuleType) -> None:
    node = on_node(backend, (mapping(),), (mapping(),))
    moved = replace(node.state, addresses={"IPv4": ("10.9.9.9",), "IPv6": ()})
    assert in_force(replace(node, loaded=Loaded(moved)), SETTINGS, (), Cache()) == (mapping(),)


@BACKENDS
def test_two_rows_of_the_last_plan_for_one_place_are_one_rule(backend: ModuleType) -> None:
    rows = (mapping(pod=ref("web-1")), mapping())
    node = on_node(backend, rows[1:], rows)
    assert in_force(node, SETTINGS, (), Cache()) == live_now(node, SETTINGS) == rows[1:]
