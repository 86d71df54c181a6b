"""One grammar for writing elements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.rules.nftables.element import MEMBER, Element, key_to_text, to_text

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
def test_an_element_of_each_kind_of_set_can_be_written(key: str, entry: Element) -> None:
    assert to_text(key, entry).startswith(key)


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
def test_whatever_is_written_is_one_line_of_at_most_one_element(key: str, entry: Element) -> None:
    try:
        text = to_text(key, entry)
    except ValueError:
        return
    assert not set("\n,;{}") & set(text)
