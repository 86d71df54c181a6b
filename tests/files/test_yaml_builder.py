"""The common behaviour of both readers of YAML."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nplconf.cluster.file import yaml_stream
from nplconf.errors import BadDataError
from nplconf.files import strict_yaml, yaml_builder

SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text("abAB01:-#'\" é", max_size=8)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc<", min_size=1, max_size=4), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), DATA, min_size=1))
def test_both_readers_read_the_same_data(data: dict[str, Any]) -> None:
    text = yaml_stream.dump([data])
    strict = strict_yaml.load(text, source="f")
    assert (strict.value, strict.problems) == (data, ())
    assert yaml_stream.load(text, "f") == [data]


@pytest.mark.parametrize(
    "text", ["a: {b: 1, b: 2}", "? [1]\n: 2", "? {a: 1}\n: 2", "<<: {a: 1}", "a: !x 1", "a: *b", "- ["]
)
def test_both_readers_refuse_what_programs_read_differently(text: str) -> None:
    assert strict_yaml.load(text, source="f").problems
    with pytest.raises(BadDataError, match=r"^f, line [12]: "):
        yaml_stream.load(text, "f")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_neither_reader_recurses(opening: str) -> None:
    text = opening * 100_000
    assert "too-deep" in {problem.rule for problem in strict_yaml.load(text, source="f").problems}
    with pytest.raises(BadDataError, match="nested deeper than"):
        yaml_stream.load(text, "f")


def test_the_scalars_of_the_example_of_the_older_yaml_are_strings_to_both() -> None:
    text = "a: 061000\nb: 1:30\nc: 2026-01-01\n"
    expected = {"a": "061000", "b": "1:30", "c": "2026-01-01"}
    assert strict_yaml.load(text, source="f").value == expected
    assert yaml_stream.load(text, "f") == [expected]
    assert yaml.safe_load(text) != expected


@pytest.mark.parametrize("missing", sorted(yaml_builder.Builder.__abstractmethods__))
def test_a_reader_that_lacks_a_decision_cannot_be_made(missing: str) -> None:
    decisions = dict.fromkeys(yaml_builder.Builder.__abstractmethods__ - {missing}, lambda *_: None)
    incomplete = type("Incomplete", (yaml_builder.Builder,), decisions)
    with pytest.raises(TypeError, match=missing):
        incomplete(1, yaml_builder.Frame([], None))
