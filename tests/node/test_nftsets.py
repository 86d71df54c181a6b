"""The kernel's lists of elements as values, by one strict pattern for each kind of set."""

import struct
from ipaddress import ip_network

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from listings import BRIDGES, SOURCES, build, raw_element, raw_list

from nplconf.model import FAMILIES, PROTOCOLS, Family
from nplconf.node import nftsets
from nplconf.node.netlink import NESTED, attribute
from nplconf.rules import EVERYWHERE
from nplconf.rules.masquerade import Route
from nplconf.rules.nftables.element import MEMBER, Element, Elements

ROW = Element("10.244.3.17 . 8080", "nplconf:shop/web-0:8080:u1")
SIX = Element("fd00:244::17 . 8080", "nplconf:shop/web-0:8080:u1")


def read(name: str, *raw: bytes) -> tuple[Elements, bool]:
    return nftsets.parse(name, [b"".join(attribute(1, one) for one in raw)])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("routes", [(), BRIDGES], ids=["hairpin", "bridged"])
@pytest.mark.parametrize("ranges", ["open", "some", "everywhere"])
def test_every_set_that_is_built_is_read_alike(family: Family, routes: tuple[Route, ...], ranges: str) -> None:
    sources = {"open": (), "some": SOURCES[family], "everywhere": (EVERYWHERE[family],)}[ranges]
    rows = [worlds.mapping(61001 + i, p, family)._replace(source_ranges=sources) for i, p in enumerate(PROTOCOLS)]
    sets = build(family, rows, routes).sets
    filled = {name for name, elements in sets.items() if elements}
    assert len(filled) == 2 + len(PROTOCOLS) * (2 if sources else 1) + 1
    for name, elements in sets.items():
        assert nftsets.parse(name, [raw_list(name, elements)]) == (elements, False)


@given(st.ip_addresses(v=4).map(str), st.integers(0, 65535), st.text("abcXYZ019._/:#-", min_size=1, max_size=128))
def test_any_value_of_a_mapping_is_read(address: str, port: int, comment: str) -> None:
    entry = Element(f"{address} . {port}", comment)
    assert read("tcp-ipv4", raw_element("tcp-ipv4", str(port), entry)) == ({str(port): entry}, False)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_any_network_is_read_as_nft_prints_it(number: int, bits: int) -> None:
    network = ip_network((number, bits), strict=False)
    text = str(network) if bits < 32 else str(network.network_address)
    assert read("bridged-ipv4", raw_element("bridged-ipv4", f"{text} . 10.0.0.1")) == (
        {f"{text} . 10.0.0.1": MEMBER},
        False,
    )


# --- elements that nplconf never writes ------------------------------------------------------------------------------

MINE = raw_element("tcp-ipv4", "61000", ROW)
TIMEOUT = attribute(4, bytes(8)) + attribute(5, bytes(8))
COUNTER = attribute(7, attribute(1, b"counter\0"))
FOREIGN = {
    "no comment": MINE[:28],
    "an empty comment": raw_element("tcp-ipv4", "61000", ROW, b"\0\1\0"),
    "a space in the comment": raw_element("tcp-ipv4", "61000", ROW._replace(comment="a b")),
    "a quote in the comment": raw_element("tcp-ipv4", "61000", ROW._replace(comment='"')),
    "a character that is not ASCII": raw_element("tcp-ipv4", "61000", ROW._replace(comment="ä")),
    "a comment of 129 characters": raw_element("tcp-ipv4", "61000", ROW._replace(comment="a" * 129)),
    "a comment that ends early": raw_element("tcp-ipv4", "61000", ROW, b"\0\5ab\0\0\0"),
    "a comment that is longer than it says": raw_element("tcp-ipv4", "61000", ROW, b"\0\2abc\0"),
    "two comments": raw_element("tcp-ipv4", "61000", ROW, b"\0\2a\0\0\2b\0"),
    "other user data": raw_element("tcp-ipv4", "61000", ROW, b"\1\2a\0"),
    "a timeout": MINE[:28] + TIMEOUT + MINE[28:],
    "a counter": MINE[:28] + COUNTER + MINE[28:],
    "flags": MINE[:28] + attribute(3, b"\0\0\0\2") + MINE[28:],
    "an end of a range": MINE[:12] + attribute(10, attribute(1, b"\0\1")) + MINE[12:],
    "an attribute behind it": MINE + attribute(20, b"1234"),
    "no target": raw_element("tcp-ipv4", "61000"),
    "an address as a key": raw_element("tcp-ipv4", "10.0.0.1", ROW),
    "a target of the other family": raw_element("tcp-ipv4", "61000", SIX),
    "a target with one field": raw_element("tcp-ipv4", "61000", ROW._replace(to="10.0.0.1")),
    "nothing": b"",
    "garbage": b"\xff" * 40,
}


@pytest.mark.parametrize("raw", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_element_of_a_map_is_unknown_and_hides_no_other(raw: bytes) -> None:
    other = raw_element("tcp-ipv4", "61001", ROW)
    for listed in ((raw, other), (other, raw), (other, raw, other)):
        assert read("tcp-ipv4", *listed) == ({"61001": ROW}, True)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("bridged-ipv4", "10.0.0.1 . 10.0.0.9", "10.0.0.3 . 10.0.0.9"),
        ("bridged-ipv4", "10.0.0.2 . 10.0.0.9", "10.0.0.5 . 10.0.0.9"),
        ("bridged-ipv4", "10.0.0.2 . 10.0.0.9", "10.0.0.1 . 10.0.0.9"),
        ("tcp-ipv4-sources", "10.0.0.0 . 61000", "10.0.0.2 . 61000"),
        ("tcp-ipv6-sources", "fd00:: . 61000", "fd00::2 . 61000"),
    ],
)
def test_a_range_of_addresses_that_is_no_network_is_unknown(name: str, first: str, last: str) -> None:
    key, end = raw_element(name, first), raw_element(name, last)
    half = len(key) // 2
    assert read(name, key[:half] + end[half:]) == ({}, True)


def test_an_element_without_an_end_is_a_single_value() -> None:
    raw = raw_element("published-ipv4", "10.0.0.1 . 61000")
    assert read("published-ipv4", raw[: len(raw) // 2]) == ({"10.0.0.1 . 61000": MEMBER}, False)


@pytest.mark.parametrize("address", ["::ffff:10.0.0.1", "::10.0.0.1"])
def test_an_ipv4_address_among_those_of_ipv6_is_unknown(address: str) -> None:
    assert read("addresses-ipv6", raw_element("addresses-ipv6", address)) == ({}, True)


@pytest.mark.parametrize("raw", [raw_element("addresses-ipv4", "10.0.0.1") + attribute(6, b"\0\2a\0"), MINE])
def test_a_member_with_anything_beside_its_key_is_unknown(raw: bytes) -> None:
    assert read("addresses-ipv4", raw) == ({}, True)


@given(st.sampled_from(("tcp-ipv4", "udp-ipv6", "hairpin-ipv4", "bridged-ipv6")), st.binary(max_size=80))
def test_no_bytes_make_reading_fail(name: str, garbage: bytes) -> None:
    nftsets.parse(name, [garbage, MINE + garbage])
    read(name, garbage)


def test_a_kernel_may_mark_nested_attributes() -> None:
    marked = bytearray(MINE)
    for at in (2, 14):
        marked[at : at + 2] = struct.pack("=H", struct.unpack_from("=H", MINE, at)[0] | NESTED)
    assert read("tcp-ipv4", bytes(marked)) == ({"61000": ROW}, False)
