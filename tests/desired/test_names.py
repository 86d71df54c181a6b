"""Names that are valid in a plan."""

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st

from nplconf.desired.names import invalid_part, shown, subdomain


@pytest.mark.parametrize("name", ["web-0", "a", "0", "a.b-c.d", "x" * 253])
def test_what_kubernetes_takes_as_a_pod_name_is_valid(name: str) -> None:
    assert subdomain(name)


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", "a..b", ".a", "A", "a_b", "a\n", "a b", "ä", "x" * 254, "a/b", "../etc", "a\x00", "a\u202e"],
)
def test_what_kubernetes_refuses_as_a_pod_name_is_invalid(name: str) -> None:
    assert not subdomain(name)


@pytest.mark.parametrize(
    ("ref", "part"),
    [
        (worlds.ref(), None),
        (worlds.ref(namespace="a.b"), "namespace"),
        (worlds.ref(namespace="x" * 64), "namespace"),
        (worlds.ref(name='web" -j ACCEPT'), "name"),
        (worlds.ref(uid=""), "UID"),
        (worlds.ref(uid="a\nb"), "UID"),
        (worlds.ref(uid="x" * 129), "UID"),
        (worlds.ref(uid="0B7d_x.y-z"), None),
    ],
)
def test_the_invalid_part_of_an_identity_is_named(ref: worlds.PodRef, part: str | None) -> None:
    assert invalid_part(ref) == part


@given(st.text() | st.text(alphabet=st.characters(categories=["Cs", "Cc"])))
def test_what_is_shown_is_short_printable_ascii(text: str) -> None:
    found = shown(text)
    assert found.isascii()
    assert found.isprintable() or not found
    assert len(found) <= 253


def test_control_characters_are_shown_as_escapes() -> None:
    assert shown("a\n\x1b[31m\u202e\U0001f600") == "a\\x0a\\x1b[31m\\u202e\\U0001f600"


@pytest.mark.parametrize(
    ("character", "escape"),
    [
        ("~", "~"),
        ("\x7f", "\\x7f"),
        ("\xe4", "\\xe4"),
        ("\xff", "\\xff"),
        ("\u0100", "\\u0100"),
        ("\uffff", "\\uffff"),
        ("\U00010000", "\\U00010000"),
    ],
)
def test_what_is_not_ascii_is_shown_as_python_writes_it(character: str, escape: str) -> None:
    assert shown(f"a{character}") == f"a{escape}"


def test_a_long_name_is_shown_as_cut() -> None:
    assert shown("x" * 300) == "x" * 250 + "..."
    assert shown("x" * 253) == "x" * 253
    assert shown("x" * 249 + "\n") == "x" * 249 + "\\x0a"
    assert shown("x" * 250 + "\n") == "x" * 250 + "..."
