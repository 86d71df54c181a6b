"""When to run, and how long to wait after a failure. Pure: the clock and the dice are arguments.

All times are seconds of one monotonic clock.
"""

from dataclasses import dataclass

QUIET = 0.005
"""A run begins when no event has come for so long..."""
LATEST = 0.05
"""...and at the latest so long after the first one: a storm of events starves no Pod that became ready."""
JITTER = 0.1
"""The part of a period by which nodes differ, so that those started together do not ask together."""
FIRST_BACKOFF = 1.0
LAST_BACKOFF = 30.0


@dataclass(frozen=True, slots=True)
class Pending:
    """Events that no run has seen yet: the times of the first and of the last one."""

    first: float
    last: float

    def due(self) -> float:
        """Return when a run must begin."""
        return min(self.last + QUIET, self.first + LATEST)


def noticed(pending: Pending | None, now: float) -> Pending:
    """Return what is pending after one more event."""
    return Pending(pending.first if pending else now, now)


def next_resync(began: float, period: float, dice: float) -> float:
    """Return when the node is read whole again. dice: a random number from 0 to 1."""
    return began + period * (1 + JITTER * (2 * dice - 1))


def backoff(failures: int, dice: float) -> float:
    """Return the seconds before the next attempt after so many failures in a row: full jitter over a doubling bound.

    With full jitter, 5,000 nodes that lost one API server together return evenly over the whole bound. The lower
    bound of a quarter keeps a node from asking at once.
    """
    bound = min(LAST_BACKOFF, FIRST_BACKOFF * (1 << min(failures, 10)))
    return max(bound / 4, dice * bound)
