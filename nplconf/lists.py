"""Lists in messages. Tenants control their length, so they are cut."""

from collections.abc import Iterable
from itertools import islice

MOST = 10
"""The most items that a message names."""


def listed(items: Iterable[str], most: int = MOST, separator: str = ", ") -> str:
    """Return the items on one line: all of them, or the first ones "and 1,990 more"."""
    there = iter(items)
    named = list(islice(there, most))
    rest = sum(1 for _ in there)
    return separator.join(named) + (f" and {rest:,} more" if rest else "")
