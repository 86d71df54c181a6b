"""Lists in messages: tenants decide how long they are, so they are cut."""

from collections.abc import Iterable
from itertools import islice

MOST = 10
"""Items of a list that a message names."""


def listed(items: Iterable[str], most: int = MOST, separator: str = ", ") -> str:
    """Return the items in one line: all of them, or the first ones "and 1,990 more"."""
    there = iter(items)
    named = list(islice(there, most))
    rest = sum(1 for _ in there)
    return separator.join(named) + (f" and {rest:,} more" if rest else "")
