"""When the kernel refuses a batch: find the mappings that it refuses, and write all others. For every backend."""

from collections.abc import Sequence
from typing import Literal, Protocol

from nplconf.model import PortMapping

Fault = Literal["none", "refused", "unseen", "busy", "unavailable"]
"""The outcome of a batch.

refused: by the kernel. unseen: accepted, but the rules are not there. busy: a lock was not free in time. unavailable:
the backend did not run, or the rules could not be read again.
"""
Refused = tuple[tuple[PortMapping, str], ...]


class Writer(Protocol):
    """The attempts of one backend to write a batch.

    Attributes:
        fault: The outcome of the last attempt.
        complaint: The error message of the last attempt.
        left: What could not be removed, and why.
    """

    fault: Fault
    complaint: str
    left: tuple[str, ...]

    def reach(self, keep: Sequence[PortMapping], add: Sequence[PortMapping]) -> bool:
        """Write these mappings and read again. Return True if the kernel has exactly them."""

    def takes_anything(self) -> bool:
        """Return whether the backend accepts an empty batch. If it does not, no mapping is the reason."""


def write_most(
    writer: Writer, keep: Sequence[PortMapping], add: Sequence[PortMapping]
) -> tuple[Refused, tuple[str, ...]]:
    """Write `keep` and as much of `add` as the kernel accepts. Return the refused mappings, and other errors.

    Normally this is one batch. A batch with another outcome is tried once more after a new reading. If it is refused
    again and only the additions can be the reason, they are halved until the refused mappings are found.
    """
    if writer.reach(keep, add) or (writer.fault in ("refused", "unseen") and writer.reach(keep, add)):
        return (), writer.left
    if writer.fault != "refused" or not writer.takes_anything() or not writer.reach(keep, ()):
        return (), (writer.complaint,)
    taken, refused = _halve(writer, list(keep), list(add))
    return tuple(refused), () if writer.reach(taken, ()) else (writer.complaint,)


def _halve(
    writer: Writer, keep: list[PortMapping], add: list[PortMapping]
) -> tuple[list[PortMapping], list[tuple[PortMapping, str]]]:
    """Write what the kernel accepts of `add`. Return all mappings that are live then, and the refused ones."""
    if not add or writer.reach(keep, add):
        return keep + add, []
    if len(add) == 1 or writer.fault != "refused":
        return keep, [(mapping, writer.complaint) for mapping in add]
    half = len(add) // 2
    keep, refused = _halve(writer, keep, add[:half])
    keep, more = _halve(writer, keep, add[half:])
    return keep, refused + more
