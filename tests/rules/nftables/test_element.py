"""One grammar for reading and writing elements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.rules.nftables.element import MEMBER, Element, key_to_text, parse, to_text

ROW = Element("10.244.3.17 . 8080", "nplconf:shop/web-0:8080:u1")
LISTED = '61000 comment "nplconf:shop/web-0:8080:u1" : 10.244.3.17 . 8080'
PRINTED = [
    ("61000", ROW),
    ("61000", ROW._replace(to="fd00:244::17 . 8080")),
    ("10.0.0.1", MEMBER),
    ("fd00::1", MEMBER),
    ("10.0.0.1 . 61000-62000", MEMBER),
    ("10.0.0.1 . 61000", MEMBER),
    ("0.0.0.0/0 . 61007", MEMBER),
    ("::/0 . 61007", MEMBER),
    ("10.244.3.0/24 . 10.244.3.17", MEMBER),
    ("fd00:244::/64 . fd00:244::17", MEMBER),
]


def test_an_element_of_a_map_has_its_owner_in_the_comment() -> None:
    assert to_text("61000", ROW) == LISTED


@pytest.mark.parametrize(("key", "entry"), PRINTED)
def test_what_is_written_is_read_alike(key: str, entry: Element) -> None:
    assert parse(to_text(key, entry)) == ({key: entry}, False)


def test_elements_are_read_on_one_line_and_on_several() -> None:
    found = {key: entry for key, entry in PRINTED if entry == MEMBER}
    for separator in (", ", ",\n\t\t\t     "):
        assert parse(separator.join(found)) == (found, False)


@pytest.mark.parametrize(
    "text",
    [
        LISTED.replace("61000", "061000"),
        LISTED.replace("61000", "65536"),
        LISTED.replace("61000", "http"),
        LISTED.replace("10.244.3.17", "10.244.3.256"),
        LISTED.replace("nplconf:", "a, b:"),
        LISTED.replace("nplconf:", "ä"),
        LISTED.replace(' comment "nplconf:shop/web-0:8080:u1"', ""),
        LISTED.replace(" comment", " timeout 1s expires 990ms comment"),
        LISTED.replace(" comment", " counter packets 0 bytes 0 comment"),
        '10.0.0.1 comment "mine"',
    ],
)
def test_another_element_is_unknown_and_hides_no_other(text: str) -> None:
    mine = LISTED.replace("61000", "61001")
    for listed in (f"{text}, {mine}", f"{mine}, {text}", f"{mine},\n\t\t\t     {text}"):
        assert parse(listed) == ({"61001": ROW}, True)


@given(st.lists(st.sampled_from([LISTED, '"', ",", " ", "61000", ": 1.2.3.4 . 5", "{", "}", "\n", 'comment "x"'])))
def test_no_list_whatever_makes_reading_fail(parts: list[str]) -> None:
    parse("".join(parts))


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("061000", ROW),
        ("61000 ", ROW),
        ("61000, 61001", MEMBER),
        ("61000 }\nflush ruleset\n{ 1", MEMBER),
        ("61000", ROW._replace(to="example.org . 80")),
        ("61000", ROW._replace(to="10.0.0.1 . 80 }\nflush ruleset\n")),
        ("61000", ROW._replace(comment="")),
        ("61000", ROW._replace(comment='" : 10.0.0.1 . 80 }\nflush ruleset\n#')),
        ("61000", ROW._replace(comment="a\0b")),
        ("61000", ROW._replace(comment="a b")),
        ("61000", ROW._replace(comment="a" * 129)),
        ("10.0.0.1/33", MEMBER),
        ("", MEMBER),
    ],
)
def test_a_value_outside_the_grammar_is_never_written(key: str, entry: Element) -> None:
    with pytest.raises(ValueError, match="not an element"):
        to_text(key, entry)


def test_the_key_of_a_deletion_is_held_to_the_same_grammar() -> None:
    assert key_to_text("61000") == "61000"
    with pytest.raises(ValueError, match="not an element"):
        key_to_text("61000 }\nflush ruleset\n{ 1")


@given(
    st.text("0123456789.:/- af\n", max_size=20),
    st.builds(Element, st.text("0123456789.:abcdef \n", max_size=20), st.text(max_size=8)),
)
def test_whatever_is_written_is_one_line_and_reads_as_the_same_value(key: str, entry: Element) -> None:
    try:
        text = to_text(key, entry)
    except ValueError:
        return
    assert "\n" not in text
    assert parse(text) == ({key: entry}, False)
