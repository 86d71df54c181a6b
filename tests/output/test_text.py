"""Text of the cluster on its way to a person."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.output.text import escaped


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in escaped(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb", "a\\x0ab"), ("\x1b[2J", "\\x1b[2J"), ("\x9b2J", "\\x9b2J"), ("a\u202eb", "a\\u202eb"), ("käse", "käse")],
)
def test_what_is_harmless_is_left_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown
