"""Read foreign chains on demand, as far as packets to the node can reach them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from nplconf.errors import UnavailableError
from nplconf.rules.iptables.match import DEPTH

Known = Mapping[str, Sequence[Any]]
"""The chains that were read, by name."""
Read = Callable[[Sequence[str]], Known]
"""Reads chains by name. Chains that cannot be read are left out. Raises UnavailableError."""


class Walk(Protocol):
    """An answer that may need more chains."""

    @property
    def unknown(self) -> frozenset[str]:
        """The chains that must be read for a better answer."""


W = TypeVar("W", bound=Walk)


def walked(step: Callable[[Known], W], read: Read) -> W:
    """Return the answer of `step` after the chains that it needs were read.

    A chain that cannot be read counts as empty.

    Args:
        step: Computes the answer from the chains read so far. Called at most `DEPTH` + 1 times.
        read: Reads chains.
    """
    known: dict[str, Sequence[Any]] = {}
    answer = step(known)
    for _ in range(DEPTH):
        if not answer.unknown:
            break
        known |= dict.fromkeys(answer.unknown, ())
        try:
            known |= read(sorted(answer.unknown))
        except UnavailableError:
            break
        answer = step(known)
    return answer
