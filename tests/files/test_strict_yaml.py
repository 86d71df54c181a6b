"""The strict YAML reader."""

from typing import Any

import pytest
import yaml
from cputime import assert_below
from hypothesis import given
from hypothesis import strategies as st

from nplconf.files.strict_yaml import Document, Limits, Problem, load, show_path, shown


def problems(text: str, limits: Limits | None = None) -> list[tuple[int, str, str]]:
    return [(one.line, one.path, one.rule) for one in load(text, source="f", limits=limits).problems]


def value(text: str) -> Any:
    document = load(text, source="f")
    assert document.problems == ()
    return document.value


@pytest.mark.parametrize(
    ("scalar", "meant"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("61000", 61000),
        ("-5", -5),
        ("-999999999999999999", -999999999999999999),
    ],
)
def test_a_plain_scalar_is_a_constant_or_a_decimal_integer(scalar: str, meant: object) -> None:
    read = value(f"a: {scalar}")["a"]
    assert read == meant
    assert type(read) is type(meant)


@pytest.mark.parametrize(
    "scalar",
    [
        *("061000", "0x1f", "0o17", "0b11", "1:30", "1_000", "+5", "-0", "-05", "61000.0", "1e3", ".inf", ".nan"),
        *("yes", "no", "on", "off", "True", "NULL", "2024-01-01", "=", "\u0663", "1\u0663"),
    ],
)
def test_what_other_readers_take_for_a_number_a_date_or_a_boolean_stays_text(scalar: str) -> None:
    assert value(f"a: {scalar}") == {"a": scalar}


@pytest.mark.parametrize("scalar", ["'5'", '"5"', "'true'", '"null"', "''", "|-\n  5", ">-\n  5"])
def test_a_quoted_or_block_scalar_is_a_string(scalar: str) -> None:
    assert isinstance(value(f"a: {scalar}")["a"], str)


def test_an_integer_that_would_make_python_raise_is_a_problem() -> None:
    for digits in (19, 5000):
        assert problems("a: " + "9" * digits) == [(1, "a", "integer-too-large")]


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("a: &x 1", (1, "a", "yaml-anchor")),
        ("a: &x {b: 1}", (1, "a", "yaml-anchor")),
        ("a: 1\nb: [*x]", (2, "b[0]", "yaml-alias")),
        ("b: [1, *x]", (1, "b[1]", "yaml-alias")),
        ("b: [1, 2, *x]", (1, "b[2]", "yaml-alias")),
        ("*x : 1", (1, "", "yaml-alias")),
        ("a: !!str 1", (1, "a", "yaml-tag")),
        ("a: ! 1", (1, "a", "yaml-tag")),
        ("a: !!python/object/apply:os.system [id]", (1, "a", "yaml-tag")),
        ("!!map {}", (1, "", "yaml-tag")),
        ("a: {b: 1}\nc:\n  <<: {d: 1}", (3, "c", "yaml-merge")),
        ("a: 1\na: 2", (2, "a", "duplicate-key")),
        ("a: 1\n'a': 2", (2, "a", "duplicate-key")),
        ("a: {b: 1, b: 1}", (1, "a.b", "duplicate-key")),
        ("1: a", (1, "", "yaml-key")),
        ("null: a", (1, "", "yaml-key")),
        ("true: a", (1, "", "yaml-key")),
        ("a: 1\n? [b]\n: 2", (2, "", "yaml-key")),
        ("? {b: {c: d}}\n: 2", (1, "", "yaml-key")),
        ("a: 1\n---\nb: 2", (2, "", "yaml-second-document")),
        ("a: 1\n---\n", (2, "", "yaml-second-document")),
        ("%YAML 1.1\n---\na: 1", (1, "", "yaml-directive")),
        ("%TAG ! tag:x,2000:\n---\na: 1", (1, "", "yaml-directive")),
        ("a: [1", (2, "", "yaml-syntax")),
        ("a: 1\n b: 2", (2, "", "yaml-syntax")),
        ("a: b: c", (1, "", "yaml-syntax")),
        ("\ta: 1", (1, "", "yaml-syntax")),
        ('a: "\\ud800"', (1, "", "yaml-syntax")),
    ],
)
def test_anything_but_plain_data_is_a_problem_with_its_line(text: str, reported: tuple[int, str, str]) -> None:
    assert reported in problems(text)


def test_an_alias_for_a_key_takes_its_value_with_it_and_nothing_else() -> None:
    document = load("*x : 1\nb: 2", source="f")
    assert [problem.rule for problem in document.problems] == ["yaml-alias"]
    assert document.value == {"b": 2}


def test_a_word_that_is_no_plain_key_is_a_key_in_quotes() -> None:
    assert value("'<<': 1\n'1': 2\n\"null\": 3\n1a: 4") == {"<<": 1, "1": 2, "null": 3, "1a": 4}


def test_of_a_doubled_key_the_first_value_stays() -> None:
    assert load("a: 1\na: {b: 2}\nc: 3", source="f").value == {"a": 1, "c": 3}


def test_a_key_that_a_terminal_would_act_on_is_reported_as_an_escape() -> None:
    (problem,) = load('"\\e[2J": 1\n"\\e[2J": 2', source="f").problems
    assert problem.message == r'the key "\u001b[2J" is there already'


def test_reading_goes_on_behind_a_problem() -> None:
    text = "a: &x 1\nb: *x\nc:\n  c: 1\n  c: 2\n1: {d: !!int 5}\n? [e, f]\n: g\nh: 5"
    assert problems(text) == [
        (1, "a", "yaml-anchor"),
        (2, "b", "yaml-alias"),
        (5, "c.c", "duplicate-key"),
        (6, "", "yaml-key"),
        (6, "d", "yaml-tag"),
        (7, "", "yaml-key"),
    ]
    assert load(text, source="f").value == {"a": 1, "b": None, "c": {"c": 1}, "h": 5}


def test_an_empty_document_is_null_without_a_problem() -> None:
    for text in ("", "\n", "# nothing\n", "---\n", "--- \n...\n"):
        assert value(text) is None


def test_a_broken_document_has_no_value() -> None:
    for text in ("a: 1\nb: [", "a: 1\n...\n%YAML x\n", "x\0"):
        document = load(text, source="f")
        assert document.value is None
        assert not document.complete


def test_the_first_document_is_read_though_a_second_begins() -> None:
    document = load("a: 1\n---\nb: 2", source="f")
    assert document.complete
    assert document.value == {"a": 1}


def test_a_document_that_is_too_large_is_not_read_at_all() -> None:
    document = load("a: 1", source="f", limits=Limits(characters=3))
    assert (document.value, document.complete, len(document.problems)) == (None, False, 1)


@pytest.mark.parametrize(
    "char", ["\0", "\x1b", "\x07", "\x7f", "\x85", "\x9b", "\u2028", "\u202e", "\u2066", "\ufeff", "\ud800"]
)
def test_a_control_character_anywhere_in_the_text_is_refused_with_its_line(char: str) -> None:
    assert problems(f"a: 1\n# {char}\nb: 2") == [(2, "", "control-character")]
    assert problems(f"\n# {char}") == [(2, "", "control-character")]


def test_a_lone_carriage_return_is_refused_and_windows_line_ends_are_not() -> None:
    assert problems("a: 1\n# x\ry\n") == [(2, "", "control-character")]
    assert value("a: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


def test_an_escaped_control_character_is_data() -> None:
    assert value(r'a: "\0\e[31m\x7f\N\u202e"') == {"a": "\0\x1b[31m\x7f\x85\u202e"}


@pytest.mark.parametrize(
    ("start", "repeated", "often", "rule"),
    [
        ("", "[", 10_000_000, "too-deep"),
        ("", "{", 1_000_000, "too-deep"),
        ("", "- ", 1_000_000, "too-deep"),
        ("", "? ", 1_000_000, "too-deep"),
        ("a: ", "[", 1_000_000, "too-deep"),
        ("a: [", "*x,", 1_000_000, "too-many-problems"),
        ("a: [", "1,", 2_100_000, "too-many-entries"),
        ("", "x", 32 * 1024 * 1024 + 1, "too-large"),
    ],
)
def test_a_document_made_to_be_expensive_is_refused_quickly(start: str, repeated: str, often: int, rule: str) -> None:
    text = start + repeated * often
    assert problems(text)[-1][2] == rule
    assert_below(10, lambda: problems(text))


def test_an_alias_bomb_is_a_list_of_problems() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    assert {rule for _, _, rule in problems(bomb)} == {"yaml-anchor", "yaml-alias"}


def test_the_limits_let_through_exactly_what_they_say() -> None:
    limits = Limits(characters=100, depth=3, entries=6, problems=3)
    assert problems("[[[1]]]", limits) == []
    assert problems("[[[[1]]]]", limits) == [(1, "", "too-deep")]
    assert problems("[1, 2, 3, 4, 5]", limits) == []
    assert problems("[1, 2, 3, 4, 5, 6]", limits) == [(1, "", "too-many-entries")]
    assert problems("#" * 100, limits) == []
    assert problems("#" * 101, limits) == [(1, "", "too-large")]
    assert len(problems("[*a, *a]", limits)) == 2
    assert [rule for _, _, rule in problems("[*a, *a, *a, *a]", limits)] == ["yaml-alias"] * 3 + ["too-many-problems"]


def test_every_path_has_its_line() -> None:
    document = load("a:\n  b:\n    - c: 1\n      d: {e: 5}\n    - 7\nf: [1,\n  2]\n", source="f")
    lines = {(): 1, ("a",): 1, ("a", "b"): 2, ("a", "b", 0): 3, ("a", "b", 0, "c"): 3, ("a", "b", 0, "d", "e"): 4}
    lines |= {("a", "b", 1): 5, ("f",): 6, ("f", 0): 6, ("f", 1): 7}
    assert {path: document.line(path) for path in lines} == lines


def test_a_path_that_is_not_there_has_the_line_of_what_it_would_be_in() -> None:
    document = load("\na:\n  - b: 1\n", source="f")
    assert document.line(("a", 0, "x")) == 3
    assert document.line(("a", 5)) == 2
    assert document.line(("x", "y")) == 2
    assert document.line(("a", 0, "b", "c")) == 3
    assert [load(text, source="f").line(("a",)) for text in ("", "5", "\n5")] == [1, 1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "a:\n" + "  - 1\n" * 12_000,
        "a: [" + "x, " * 12_000 + "]",
        "".join(f"k{i}: 1\n" for i in range(12_000)),
        "- [1]\n" * 12_000,
        "- a: 1\n" * 300_000,
        "a: 1\n" + "# x\n" * 1_300_000,
    ],
    ids=["values", "flow", "keys", "lists", "rows", "lines"],
)
def test_what_is_longer_than_any_document_is_refused_before_it_is_read_to_its_end(text: str) -> None:
    document = load(text, source="f")
    assert not document.complete
    assert document.problems[-1].rule == "too-many-entries"
    assert_below(3, lambda: load(text, source="f"))


def test_the_first_rows_of_a_long_list_are_judged_before_the_rest_is_read() -> None:
    judged: list[tuple[Any, int]] = []

    def judge(document: Document, path: Any) -> list[Problem]:
        judged.append((path, len(document.value["a"]["b"])))
        return [document.problem(("a", "b", 1), "wrong", "no row at all")]

    document = load("a:\n  b:\n" + "    - x: 1\n" * 20_000, source="f", judge=judge)
    assert judged == [(("a", "b"), 500)]
    assert not document.complete
    found = [(problem.line, problem.path, problem.rule) for problem in document.problems]
    assert found == [(4, "a.b[1]", "wrong"), (1, "", "too-many-problems")]


def test_a_long_list_that_is_judged_well_is_read_to_its_end() -> None:
    document = load("- x: 1\n" * 20_000, source="f", judge=lambda *_: ())
    assert len(document.value) == 20_000


def test_a_list_of_many_rows_and_a_row_of_many_services_are_read() -> None:
    rows = load("- {a: 1}\n" * 70_000, source="f").value
    assert len(rows) == 70_000
    assert len(load("[" + "a, " * 9_000 + "]", source="f").value) == 9_000


def test_paths_are_shown_with_dots_brackets_and_quotes_where_a_key_is_no_word() -> None:
    assert show_path(("spec", "mappings", 3, "nodePort")) == "spec.mappings[3].nodePort"
    assert show_path(("a.b", "\x1b[31m", "c")) == r'["a.b"]["\u001b[31m"].c'
    assert show_path(()) == ""


def test_shown_values_are_short_and_of_printable_ascii() -> None:
    assert shown("a\n\x7f\x9b") == r'"a\n\u007f\u009b"'
    assert shown("x" * 1000) == '"' + "x" * 60 + '"...'
    values: tuple[object, ...] = (None, True, 5, {}, [])
    assert [shown(one) for one in values] == ["null", "true", "5", "a mapping", "a list"]


@given(st.text(alphabet=st.sampled_from("ab1:-?,[]{}&*!|>'\"%#@` \n\t<~\\.x"), max_size=60) | st.text(max_size=60))
def test_no_text_raises_and_each_has_a_value_or_a_problem(text: str) -> None:
    document = load(text, source="f")
    assert isinstance(document, Document)
    assert document.complete or document.problems


_scalars = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=10)
_data = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(_data, st.booleans())
def test_what_pyyaml_writes_is_read_as_it_was(data: Any, flow: bool) -> None:  # noqa: FBT001 - drawn
    assert value(yaml.safe_dump(data, default_flow_style=flow)) == data


@given(st.text(alphabet=st.sampled_from("ab1:-?,[]{}&*!|>'\"%#@` \n<~\\.x"), max_size=40))
def test_both_parsers_of_pyyaml_lead_to_the_same_value(text: str) -> None:
    fast = load(text, source="f")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", False)
        slow = load(text, source="f")
    if not fast.problems and not slow.problems:  # they differ in what they refuse, at the edges of the grammar
        assert slow.value == fast.value
