"""One transaction for both families, which contains only the differences."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import worlds
from listings import build, built, found

from nplconf.model import FAMILIES, Family
from nplconf.rules.nftables.element import Element
from nplconf.rules.nftables.table import NftTable, tables
from nplconf.rules.nftables.transaction import REMOVAL, transaction

ONE, TWO, SIX = worlds.mapping(61001), worlds.mapping(61002), worlds.mapping(61001, family="IPv6")


def pairs(
    have: Mapping[Family, NftTable], want: Mapping[Family, NftTable | None]
) -> list[tuple[NftTable, NftTable | None]]:
    return [(have[family], want[family]) for family in want]


def test_equal_tables_give_an_empty_transaction() -> None:
    assert transaction(pairs(found(ONE, SIX), built(ONE, SIX))) == ""
    assert transaction(()) == ""
    assert transaction(pairs(tables({}, {}), dict.fromkeys(FAMILIES, None))) == ""


def test_one_more_mapping_is_one_element_in_each_set() -> None:
    more = TWO._replace(pod_ip="10.244.3.18")
    assert transaction(pairs(found(ONE), built(ONE, more))) == (
        "add element inet nplconf tcp-ipv4 {\n"
        '61002 comment "nplconf:shop/web-0:8080:uid-web-0" : 10.244.3.18 . 8080\n}\n'
        "add element inet nplconf hairpin-ipv4 {\n10.244.3.18 . 10.244.3.18\n}\n"
    )


def test_another_value_is_deleted_and_added_as_nft_replaces_none() -> None:
    moved = ONE._replace(pod_port=9090)
    assert transaction(pairs(found(ONE), built(moved))) == (
        "delete element inet nplconf tcp-ipv4 {\n61001\n}\n"
        "add element inet nplconf tcp-ipv4 {\n"
        '61001 comment "nplconf:shop/web-0:9090:uid-web-0" : 10.244.3.17 . 9090\n}\n'
    )


def test_a_table_of_another_frame_is_written_anew_as_a_whole() -> None:
    there = {family: replace(table, frame={}) for family, table in found(ONE, SIX).items()}
    text = transaction(pairs(there, built(TWO, SIX)))
    assert text.startswith(REMOVAL)
    assert text.count("add element inet nplconf tcp-ipv4 {") == 1
    assert "61002" in text
    assert "61001 comment" in text, "the other family's"


def test_a_table_that_is_written_anew_for_one_family_keeps_what_the_other_has() -> None:
    have = replace(found(ONE, SIX)["IPv4"], frame={})
    text = transaction([(have, build("IPv4", [TWO]))])
    assert "add element inet nplconf tcp-ipv6 {\n61001" in text


def test_the_last_family_takes_the_table_with_it() -> None:
    assert transaction(pairs(found(ONE, SIX), dict.fromkeys(FAMILIES, None))) == REMOVAL
    both = found(ONE, SIX)
    assert "delete table" not in transaction([(both["IPv4"], None)])
    assert "delete element inet nplconf tcp-ipv4 {\n61001\n}" in transaction([(both["IPv4"], None)])
    alone = replace(both["IPv4"], rest={})
    assert transaction([(alone, None)]) == REMOVAL


def test_a_map_with_a_foreign_element_is_flushed_and_filled_again() -> None:
    have = replace(found(ONE, TWO)["IPv4"], unknown=frozenset({"tcp-ipv4", "hairpin-ipv4"}))
    text = transaction([(have, build("IPv4", [ONE, TWO]))])
    assert text.startswith("flush map inet nplconf tcp-ipv4\nadd element inet nplconf tcp-ipv4 {\n61001")
    assert "flush set inet nplconf hairpin-ipv4\n" in text


def test_deletions_are_sorted_as_the_kernel_lists_elements_in_any_order() -> None:
    there = found(ONE, TWO, ONE._replace(node_port=9000, pod_ip="10.244.3.9"))["IPv4"]
    shuffled = {name: dict(reversed(list(elements.items()))) for name, elements in there.sets.items()}
    text = transaction([(replace(there, sets=shuffled), build("IPv4", []))])
    assert text == transaction([(there, build("IPv4", []))])
    assert "delete element inet nplconf tcp-ipv4 {\n9000,\n61001,\n61002\n}\n" in text


def test_nothing_outside_the_grammar_is_written() -> None:
    want = build("IPv4", [ONE])
    wrong = {**want.sets, "tcp-ipv4": {"61001": Element("10.0.0.1 . 80", 'x" : 1.1.1.1 . 1 }\nflush ruleset\n#')}}
    for have in (found()["IPv4"], NftTable()):
        with pytest.raises(ValueError, match="not an element"):
            transaction([(have, replace(want, sets=wrong))])
