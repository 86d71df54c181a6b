"""A client accepts exactly what the daemon writes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.hold import protocol
from nplconf.model import PROTOCOLS, USUAL_PROTOCOLS, PortRange, Taken

NUMBERS = st.integers(1, 65_535)
GOOD = {"version": 1, "range": {"first": 61000, "last": 61010}, "held": 22, "taken": []}


@given(NUMBERS, NUMBERS, st.data())
def test_a_client_reads_what_the_daemon_writes(one: int, other: int, data: st.DataObject) -> None:
    held = PortRange(min(one, other), max(one, other))
    rows = st.tuples(st.integers(held.first, held.last), st.sampled_from(PROTOCOLS))
    taken = data.draw(st.lists(rows, unique=True, max_size=20))
    answer = protocol.read(protocol.answer(held, 0, taken))
    assert answer == protocol.Answer(held, tuple(Taken(*row) for row in taken))


def test_the_longest_question_and_answer_fit() -> None:
    assert len(protocol.QUESTION) < protocol.MAX_QUESTION
    everything = [(number, name) for number in range(1, 1 << 16) for name in PROTOCOLS]
    longest = protocol.answer(PortRange(1, 65_535), 0, everything)
    assert len(longest) < protocol.MAX_ANSWER
    assert len(protocol.read(longest).taken) == len(everything)


def test_the_answer_to_another_question_says_that_the_versions_differ() -> None:
    with pytest.raises(protocol.UnreadableAnswerError, match="does not understand the question: restart"):
        protocol.read(protocol.not_understood())
    with pytest.raises(protocol.UnreadableAnswerError, match="another version: restart"):
        protocol.read(json.dumps(GOOD | {"version": 2}).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "first", "number"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["range", "taken"]), JSON, min_size=1) | JSON)
def test_any_other_line_is_invalid_or_a_range_of_ports(raw: Any) -> None:
    data = GOOD | raw if isinstance(raw, dict) else raw
    try:
        answer = protocol.read(json.dumps(data).encode())
    except protocol.UnreadableAnswerError as error:
        assert str(error)  # noqa: PT017 - either is right
    else:
        assert 0 < answer.port_range.first <= answer.port_range.last < 65_536
        assert all(one.number in answer.port_range for one in answer.taken)


def test_the_protocols_are_named_where_they_are_not_the_usual_ones() -> None:
    held = PortRange(61000, 61001)
    assert protocol.read(protocol.answer(held, 6, (), PROTOCOLS)).protocols == PROTOCOLS
    assert b"protocols" not in protocol.answer(held, 4, ())
    assert protocol.read(protocol.answer(held, 4, ())).protocols == USUAL_PROTOCOLS
