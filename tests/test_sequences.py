"""The comparison of two sequences from both ends."""

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from nplconf.sequences import equal_ends, replaced

VALUES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=1), max_size=8)
OBJECTS = [[number] for number in range(10)]


@given(VALUES, VALUES)
def test_the_ends_are_equal_and_the_values_beside_them_are_not(one: list[list[int]], other: list[list[int]]) -> None:
    first, last = equal_ends(one, other)
    assert first + last <= min(len(one), len(other))
    assert one[:first] == other[:first]
    assert one[len(one) - last :] == other[len(other) - last :]
    rest, others = one[first : len(one) - last], other[first : len(other) - last]
    assert not (rest and others) or (rest[0] != others[0] and rest[-1] != others[-1])


@given(VALUES)
def test_equal_sequences_are_equal_from_the_start_whatever_their_objects_are(values: list[list[int]]) -> None:
    assert equal_ends(values, values) == equal_ends(values, deepcopy(values)) == (len(values), 0)


@given(st.lists(st.sampled_from(OBJECTS), unique_by=id), st.lists(st.sampled_from(OBJECTS), unique_by=id))
def test_what_is_replaced_is_all_that_one_sequence_has_alone(before: list[list[int]], now: list[list[int]]) -> None:
    gone, new = replaced(before, now)
    assert gone == [value for value in before if value not in now]
    assert new == [value for value in now if value not in before]
    assert replaced(before, now).all == (*gone, *new)


def test_an_equal_object_is_replaced() -> None:
    assert replaced(["same", [1]], ["same", [1]]) == ([[1]], [[1]])
