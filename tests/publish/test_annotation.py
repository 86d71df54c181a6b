"""The annotation that load balancers read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import mapping

from nplconf.publish.annotation import Entry, entries, parse, render

ENTRY = st.builds(
    Entry,
    st.integers(1, 65535),
    st.sampled_from(("IPv4", "IPv6")),
    st.sampled_from(("tcp", "udp")),
    st.sampled_from(("10.0.0.1", "fd00::1")),
    st.integers(1, 65535),
)


def test_it_is_compact_json_with_the_keys_in_order() -> None:
    assert render(entries([mapping()])) == (
        '[{"podPort":8080,"nodeIP":"10.10.10.10","nodePort":61044,"protocol":"tcp","ipFamily":"IPv4"}]'
    )


def test_it_is_sorted_by_pod_port_then_family_then_protocol() -> None:
    rows = [
        mapping(protocol=protocol, family=family, pod_port=port)
        for port in (90, 80)
        for family in ("IPv6", "IPv4")
        for protocol in ("udp", "tcp")
    ]
    found = [(e["podPort"], e["ipFamily"], e["protocol"]) for e in json.loads(render(entries(rows)) or "")]
    assert found == sorted(found)
    assert found[:4] == [(80, "IPv4", "tcp"), (80, "IPv4", "udp"), (80, "IPv6", "tcp"), (80, "IPv6", "udp")]


def test_nothing_to_publish_is_no_annotation() -> None:
    assert render(()) is None


@given(st.lists(ENTRY, max_size=5))
def test_what_is_written_is_read_back(found: list[Entry]) -> None:
    assert parse(render(found)) == tuple(found)


def test_antreas_older_forms_are_understood() -> None:
    assert parse('[{"podPort":80,"nodeIP":"10.0.0.1","nodePort":61000,"protocols":["tcp"]}]') == (
        Entry(80, "IPv4", "tcp", "10.0.0.1", 61000),
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "null", "{}", "[1]", "[null]", '[{"podPort":"80"}]', "[" * 100_000,
        '[{"podPort":true,"nodeIP":"1.1.1.1","nodePort":1}]',
        '[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":1,"protocol":"sctp"}]',
        '[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":1.0}]',
        '[{"podPort":1,"nodePort":1}]', '[{"podPort":1,"nodeIP":[],"nodePort":1}]',
        '[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":1,"ipFamily":"IPv5"}]',
        '[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":1,"ipFamily":[]}]',
    ],
)  # fmt: skip
def test_what_a_tenant_wrote_wrongly_is_no_entry(text: str) -> None:
    assert parse(text) == ()
