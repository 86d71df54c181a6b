"""The annotation that load balancers read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import mapping, pod, ref

from nplconf.model import PROTOCOLS, Protocol
from nplconf.publish.annotation import Entry, Form, canonical, entries, on_pods, parse, render, text

ENTRY = st.builds(
    Entry,
    st.integers(1, 65535),
    st.sampled_from(("IPv4", "IPv6")),
    st.sampled_from(PROTOCOLS),
    st.sampled_from(("10.0.0.1", "fd00::1")),
    st.integers(1, 65535),
)


def test_it_is_compact_json_with_the_keys_in_order() -> None:
    assert render(entries([mapping()])) == (
        '[{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61044,"protocol":"tcp","ipFamily":"IPv4"}]'
    )


ROWS = [
    mapping(protocol=protocol, family=family, pod_port=port)
    for port in (90, 80)
    for family in ("IPv6", "IPv4")
    for protocol in ("udp", "tcp")
]


def keys(text: str, *names: str) -> list[tuple[object, ...]]:
    return [tuple(entry.get(name) for name in names) for entry in json.loads(text)]


def test_per_protocol_it_is_sorted_by_pod_port_then_family_then_protocol() -> None:
    found = keys(render(entries(ROWS), Form(merged=False)), "podPort", "ipFamily", "protocol")
    assert found == sorted(found, key=str)
    assert found[:4] == [(80, "IPv4", "tcp"), (80, "IPv4", "udp"), (80, "IPv6", "tcp"), (80, "IPv6", "udp")]


def test_tcp_and_udp_of_one_port_are_one_entry() -> None:
    assert render(entries([mapping(protocol="udp"), mapping()])) == (
        '[{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61044,"protocol":"tcp","ipFamily":"IPv4",'
        '"protocols":["tcp","udp"]}]'
    )
    found = keys(render(entries(ROWS)), "podPort", "ipFamily", "protocol", "protocols")
    both = ("tcp", ["tcp", "udp"])
    assert found == [(80, "IPv4", *both), (80, "IPv6", *both), (90, "IPv4", *both), (90, "IPv6", *both)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_protocol_alone_has_no_further_key(protocol: Protocol) -> None:
    assert keys(render(entries([mapping(protocol=protocol)])), "protocol", "protocols") == [(protocol, None)]


@pytest.mark.parametrize("together", [("tcp", "sctp"), ("udp", "sctp"), ("tcp", "udp", "sctp")])
def test_sctp_and_others_of_one_port_are_one_entry(together: tuple[Protocol, ...]) -> None:
    found = keys(render(entries([mapping(protocol=one) for one in together])), "protocol", "protocols")
    assert found == [(together[0], list(together))]


def test_two_numbers_of_one_port_are_two_entries() -> None:
    rows = [mapping(61001), mapping(61002, "udp", via="hostPort")]
    assert keys(render(entries(rows)), "protocol", "nodePort") == [("tcp", 61001), ("udp", 61002)]


@given(st.lists(ENTRY, max_size=8))
def test_no_reader_of_merged_entries_makes_a_pool_member_twice(found: list[Entry]) -> None:
    members = keys(render(sorted(set(found))), "podPort", "nodeIP", "nodePort", "ipFamily")
    assert len(members) == len(set(members))


def test_a_pod_that_never_had_the_key_gets_none() -> None:
    assert text((), None) is None
    assert text((), "[]") == text((), "forged") == "[]"
    assert text((), "forged", Form(empty=False)) is None


@given(st.sets(ENTRY, max_size=8), st.booleans())
def test_what_is_written_is_read_back(found: set[Entry], merged: bool) -> None:  # noqa: FBT001
    value = render(sorted(found), Form(merged=merged))
    assert sorted(parse(value)) == sorted(found)
    assert canonical(render(sorted(parse(value)), Form(merged=merged)))


def test_a_mapping_is_listed_by_the_annotation_of_its_own_pod_alone() -> None:
    there, other = mapping(61044), mapping(61045)
    elsewhere = mapping(61044, pod=ref("web-9"))
    listing = render(entries([there]))
    assert on_pods([there, other, elsewhere], [pod(annotation=listing)]) == {there}
    assert on_pods([there], [pod(annotation=listing, uid="made-again")]) == frozenset()
    assert on_pods([there], [pod(), pod("web-9", annotation="x")]) == frozenset()


def test_antreas_older_forms_are_understood() -> None:
    assert parse('[{"podPort":80,"nodeIP":"10.0.0.1","nodePort":61000,"protocols":["tcp"]}]') == (
        Entry(80, "IPv4", "tcp", "10.0.0.1", 61000),
    )


@pytest.mark.parametrize(
    "value",
    [
        "", "x", "null", "{}", "[1]", "[null]", '[{"podPort":"80"}]', "[" * 100_000,
        '[{"podPort":true,"nodeIP":"1.1.1.1","nodePort":1}]',
        '[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":1,"protocol":"dccp"}]',
        '[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":1.0}]',
        '[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":1,"protocols":["dccp",{}]}]',
        '[{"podPort":1,"nodePort":1}]', '[{"podPort":1,"nodeIP":[],"nodePort":1}]',
        '[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":1,"ipFamily":"IPv5"}]',
        '[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":1,"ipFamily":[]}]',
    ],
)  # fmt: skip
def test_an_invalid_entry_is_left_out(value: str) -> None:
    assert parse(value) == ()
