"""Comparing two sequences from both ends. Few changes among thousands of values leave a short part between them."""

from collections.abc import Callable, Sequence
from itertools import compress, count
from operator import is_not, ne
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


def equal_ends(one: Sequence[T], other: Sequence[T]) -> tuple[int, int]:
    """Return how many values are equal from the start, and from the end. Identical objects are found faster."""
    first, last = _ends(one, other, is_not)
    further = _ends(one[first : len(one) - last], other[first : len(other) - last], ne)
    return first + further[0], last + further[1]


def _ends(one: Sequence[T], other: Sequence[T], differ: Callable[[T, T], Any]) -> tuple[int, int]:
    most = min(len(one), len(other))
    first = next(compress(count(), map(differ, one, other)), most)
    last = next(compress(count(), map(differ, reversed(one), reversed(other))), most)
    return first, min(most - first, last)


FEW = 4
"""Changes among values are few if they are not more than one in so many: then adapting an earlier result pays."""


class Replaced(NamedTuple):
    """The objects that two sequences do not share. gone: those of the first; new: those of the second."""

    gone: Sequence[Any]
    new: Sequence[Any]

    @property
    def all(self) -> tuple[Any, ...]:
        """The objects of both."""
        return (*self.gone, *self.new)


def replaced(before: Sequence[Any], now: Sequence[Any]) -> Replaced:
    """Return the objects that one of two sequences has alone. Equal ones that are not the same are in both results."""
    first, last = _ends(before, now, is_not)
    gone, new = before[first : len(before) - last], now[first : len(now) - last]
    shared = set(map(id, gone)).intersection(map(id, new))
    return Replaced(*([value for value in part if id(value) not in shared] for part in (gone, new)))
