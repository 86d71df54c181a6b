"""What every backend does when the kernel refuses a batch: find the mappings that it refuses, and write all others."""

from collections.abc import Sequence
from typing import Literal, Protocol

from nplconf.model import PortMapping

Fault = Literal["none", "refused", "unseen", "busy", "unavailable"]
"""What is wrong with a batch: refused as such; accepted but not seen; not got a lock; not run, or not read again."""
Refused = tuple[tuple[PortMapping, str], ...]


class Writer(Protocol):
    """The attempts of one backend on one batch. fault, complaint: the outcome of the last attempt.

    left: what could not be removed, and why.
    """

    fault: Fault
    complaint: str
    left: tuple[str, ...]

    def reach(self, keep: Sequence[PortMapping], add: Sequence[PortMapping]) -> bool:
        """Write these mappings and read again; True when the kernel has exactly them."""

    def takes_anything(self) -> bool:
        """Return whether the backend accepts an empty batch. If it does not, no mapping is the reason."""


def write_most(
    writer: Writer, keep: Sequence[PortMapping], add: Sequence[PortMapping]
) -> tuple[Refused, tuple[str, ...]]:
    """Write keep and as many of add as the kernel takes; return the refused mappings, and other errors.

    One batch in the good case. A batch that did not come out as wanted is tried again from a new reading. When it is
    refused again, and only the additions can be the reason, they are halved until the refused ones are found.
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
    """Write what the kernel takes of add; return all that is live then, and each refused mapping with the reason."""
    if not add or writer.reach(keep, add):
        return keep + add, []
    if len(add) == 1 or writer.fault != "refused":
        return keep, [(mapping, writer.complaint) for mapping in add]
    half = len(add) // 2
    keep, refused = _halve(writer, keep, add[:half])
    keep, more = _halve(writer, keep, add[half:])
    return keep, refused + more
