"""YAML of Kubernetes objects, read and written."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from nplconf.cluster.file.yaml_stream import ALIASED_NODES, DEPTH, dump, load
from nplconf.errors import BadDataError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8080", 8080),
        ("-1", -1),
        ("0", 0),
        ("1.5", 1.5),
        ("1.0e+20", 1e20),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        # what YAML 1.1 takes for something else
        ("061000", "061000"),
        ("0x1f", "0x1f"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("on", "on"),
        ("12e5", "12e5"),
        (".nan", ".nan"),
        ("1.0e+400", "1.0e+400"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("=", "="),
        ('"true"', "true"),
        ("'8080'", "8080"),
        ("!!str 8080", "8080"),
        ("|-\n  8080", "8080"),
    ],
)
def test_a_plain_scalar_is_null_a_boolean_a_decimal_number_or_a_string(text: str, value: object) -> None:
    (document,) = load(f"a: {text}\nb: 1\n", "f")
    assert document == {"a": value, "b": 1}
    assert type(document["a"]) is type(value)


def test_keys_are_strings() -> None:
    assert load("{1: a, true: b, null: c, 2024-01-01: d}", "f") == [
        {"1": "a", "true": "b", "null": "c", "2024-01-01": "d"}
    ]


def test_empty_documents_are_left_out() -> None:
    assert load("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n", "f") == [{"a": 1}, {"b": 2}]
    assert load("", "f") == load("---\n", "f") == load("null", "f") == []


def test_aliases_are_followed() -> None:
    assert load("a: &x [1, &y {b: 2}]\nc: *x\nd: *y\n", "f") == [
        {"a": [1, {"b": 2}], "c": [1, {"b": 2}], "d": {"b": 2}}
    ]


def test_an_anchor_is_of_its_own_document() -> None:
    with pytest.raises(BadDataError, match=r"^f, line 3: the alias \*x has nothing to stand for$"):
        load("a: &x 1\n---\nb: *x\n", "f")


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: [\n", 3, "not YAML"),
        ("a: 1\n b: 2\n", 2, "not YAML"),
        ("a: 1\na: 2\n", 2, "the key 'a' is there twice"),
        ("a: 1\n'a': 2\n", 2, "the key 'a' is there twice"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "merge keys"),
        ("a: !!python/object/apply:os.system [id]\n", 1, "the tag"),
        ("a: !!binary aGk=\n", 1, "the tag"),
        ("a: !!set {b}\n", 1, "the tag"),
        ("? [a]\n: 1\n", 1, "a key that is no string"),
        ("x: &x a\n? *x\n: 1\n", 2, "a key that is an alias"),
        ("a: &x\n  b: *x\n", 2, "has nothing to stand for"),
        ("a: 1\nb: " + "9" * 5000, 2, "too many digits"),
        ("[" * (DEPTH + 1), 1, f"nested deeper than {DEPTH} levels"),
        ("[" * 100_000, 1, "nested deeper"),
        ("- " * 100_000, 1, "nested deeper"),
        (bomb(9), 7, f"aliases stand for more than {ALIASED_NODES} values"),
    ],
)
def test_what_is_no_data_is_an_error_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(BadDataError) as caught:
        load(text, "f")
    assert str(caught.value).startswith(f"f, line {line}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: \x00b", "a: \x1b[2J", "\ud800", "a: \x7f\x80\ufffe"])
def test_characters_that_yaml_does_not_allow_are_an_error(text: str) -> None:
    with pytest.raises(BadDataError, match=r"^f(, line 1)?: not YAML"):
        load(text, "f")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=25,
)


@given(st.lists(st.dictionaries(st.text(), VALUES), min_size=1, max_size=3))
@example(
    [
        {
            "a": "yes",
            "b": "061000",
            "c": "1:30",
            "d": "12e5",
            "e": "2024-01-01T00:00:00Z",
            "f": "0o17",
            "g": "=",
            "h": "~",
        }
    ]
)
@example(
    [{"a": "x\n  y\n", "b": " x\n", "c": "x \ny", "d": "\n\n", "e": "a: b # c", "f": "%x", "g": "- x", "h": "null"}]
)
@example([{"": "", "<<": "x", "a\nb": ["", {}, []], "x" * 200: 1e300}, {"n": -0.0}])
def test_what_is_written_reads_the_same(documents: list[dict[str, Any]]) -> None:
    assert load(dump(documents), "f") == documents


KUBERNETES = st.dictionaries(
    st.text(), st.lists(st.text() | st.integers() | st.booleans() | st.none(), max_size=3) | st.text(), min_size=1
)


@given(KUBERNETES)
def test_what_is_written_means_the_same_to_readers_of_the_older_yaml(document: dict[str, Any]) -> None:
    assert yaml.safe_load(dump([document])) == document


@given(KUBERNETES)
def test_what_a_program_of_the_older_yaml_writes_reads_as_it_was_meant(document: dict[str, Any]) -> None:
    assert load(yaml.safe_dump(document), "f") == [document]


def test_what_is_written_looks_as_kubectl_prints_it() -> None:
    document = {"a": {"b": ["x", {"c": 1, "d": "true"}], "ip": "10.0.0.1", "text": "one\ntwo\n"}, "e": {}, "f": []}
    assert dump([document, {"g": None}]) == (
        "a:\n  b:\n  - x\n  - c: 1\n    d: 'true'\n  ip: 10.0.0.1\n  text: |\n    one\n    two\n"
        "e: {}\nf: []\n---\ng: null\n"
    )
