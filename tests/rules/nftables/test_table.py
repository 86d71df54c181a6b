"""A listing of the table as values."""

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from listings import build, built, found, frame_listing, read_back

from nplconf.model import FAMILIES, PROTOCOLS, PortMapping
from nplconf.rules.nftables.frame import frame
from nplconf.rules.nftables.table import NftTable, frame_of, names, tables

RANGES = ("10.0.0.0/8", "192.168.7.1/32", "0.0.0.0/0")
RANGES6 = ("fd00::/8", "2001:db8::1/128")


@st.composite
def mappings(draw: st.DrawFn) -> list[PortMapping]:
    """Mappings of any protocol and family, some with sources."""
    keys = draw(st.sets(st.tuples(st.integers(61000, 61040), st.sampled_from(PROTOCOLS), st.sampled_from(FAMILIES))))
    rows = [worlds.mapping(port, protocol, family) for port, protocol, family in sorted(keys)]
    ranges = draw(st.lists(st.sampled_from(["", "some"]), min_size=len(rows), max_size=len(rows)))
    return [
        row._replace(source_ranges=(RANGES6 if row.family == "IPv6" else RANGES[:2]) if some else ())
        for row, some in zip(rows, ranges, strict=True)
    ]


@given(mappings())
def test_what_is_listed_reads_as_what_was_built(rows: list[PortMapping]) -> None:
    for family, table in built(*rows).items():
        there = found(*rows)[family]
        assert (there.frame, there.sets, there.unknown) == (table.frame, table.sets, frozenset())


def test_each_family_knows_what_the_other_has() -> None:
    there = found(worlds.mapping(61001, family="IPv6"))
    assert there["IPv4"].rest == there["IPv6"].sets
    assert not there["IPv4"].alone
    assert set(there["IPv6"].rest) == set(names("IPv4"))


def test_no_table_is_empty_in_both_families() -> None:
    assert all(table == NftTable() and table.empty for table in tables({}, {}).values())


def test_a_table_without_any_element_is_no_empty_family_so_that_it_is_removed() -> None:
    assert not any(table.empty for table in read_back(()).values())


def test_a_family_is_empty_where_only_the_other_one_has_elements() -> None:
    there = read_back([build("IPv6", [])])
    assert there["IPv4"].empty
    assert not there["IPv6"].empty


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("\t\tjump dispatch\n", "", "chain prerouting"),
        ("priority 90;", "priority 100;", "chain postrouting"),
        ('\tcomment "nplconf format 1"\n', '\tcomment "nplconf format 2"\n', ""),
        ('\tcomment "nplconf format 1"\n', '\tcomment "nplconf format 1"\n\tflags dormant\n', ""),
        ("\t\tfib daddr type != 2 return\n", "\t\taccept\n\t\tfib daddr type != 2 return\n", "chain dispatch"),
        ("\tmap tcp-ipv4 {\n", "\tmap tcp-ipv4 {\n\t\tsize 3\n", "map tcp-ipv4"),
        ("\tchain output {\n", "\tchain other {\n\t\taccept\n\t}\n\n\tchain output {\n", "chain other"),
        ("\tchain output {\n", "\tcounter c {\n\t\tpackets 0 bytes 0\n\t}\n\n\tchain output {\n", "counter c"),
    ],
)
def test_whatever_else_is_in_the_table_is_seen_at_its_place(old: str, new: str, place: str) -> None:
    text = frame_listing()
    assert old in text
    there = frame_of(text.replace(old, new, 1))
    assert {name for name in there.keys() | frame().keys() if there.get(name) != frame().get(name)} == {place}


@pytest.mark.parametrize("around", ["", "table inet firewalld {\n\tchain nplconf {\n\t\taccept\n\t}\n}\n"])
def test_only_the_table_itself_is_read_of_a_rule_set(around: str) -> None:
    assert frame_of(around) == {}
    assert frame_of(f"{around}{frame_listing()}{around}") == frame()


def test_elements_that_nft_lists_with_the_frame_are_passed_over() -> None:
    line = "\t\ttype ipv4_addr\n"
    listed = frame_listing().replace(line, f"{line}\t\telements = {{ 10.0.0.1,\n\t\t\t     10.0.0.2 }}\n", 1)
    assert frame_of(listed) == frame()


def test_a_set_with_foreign_elements_is_named_in_its_family() -> None:
    there = tables(frame(), built(worlds.mapping())["IPv4"].sets, ["tcp-ipv4"])
    assert there["IPv4"].unknown == {"tcp-ipv4"}
    assert there["IPv6"].unknown == frozenset()
