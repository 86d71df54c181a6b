"""Characters that a person cannot see, or sees at another position."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.characters import escaped


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in escaped(text))


HIDDEN = [
    *range(0x20),
    0x7F,
    0xAD,
    0x34F,
    0x61C,
    0x180E,
    0x3164,
    0xFEFF,
    0xD800,
    0xFFFE,
    0xE0001,
    0xE0100,
    0x115F,
    0x2800,
]
RANGES = [(0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFFF9, 0xFFFB), (0xE0020, 0xE007F)]


@pytest.mark.parametrize("code", [*HIDDEN, *(code for first, last in RANGES for code in range(first, last + 1))])
def test_what_cannot_be_seen_or_reorders_text_is_escaped(code: int) -> None:
    shown = escaped(f"a{chr(code)}b")
    assert shown.isascii()
    assert shown.isprintable()
    assert int(shown[3:-1], 16) == code


def is_hidden(character: str) -> bool:
    return ord(character) not in PREPENDED


@given(st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp")).filter(is_hidden))
def test_no_character_of_a_hidden_category_is_left(character: str) -> None:
    assert escaped(character).isascii()


PREPENDED = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
"""Signs of category Cf that are drawn: Arabic number signs, and those of Egyptian hieroglyphs."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\x0ab"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb", "a\\u202eb"),
        ("käse �", "käse �"),
    ],
)
def test_visible_characters_are_not_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown
