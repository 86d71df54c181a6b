"""When to run, and how long to wait after a failure. Pure: the clock and the dice are arguments.

All times are seconds of one monotonic clock.
"""

from dataclasses import dataclass
from math import inf

JITTER = 0.1
"""The part of a period by which nodes differ, so that those started together do not ask together."""
FIRST_BACKOFF = 1.0
LAST_BACKOFF = 30.0


@dataclass(frozen=True, slots=True)
class Debounce:
    """How long a run waits for further events, in seconds.

    Attributes:
        quiet: A run begins when no event has come for so long...
        latest: ...and at the latest so long after the first one: a storm of events starves no Pod that became ready.
        not_urgent: A run for events that change nothing that is published begins so long after the first one.
        pause: An event that comes so long after the last run began is not delayed. A storm then makes one more run.
    """

    quiet: float
    latest: float
    not_urgent: float
    pause: float = inf


AT_ONCE = Debounce(quiet=0.001, latest=0.05, not_urgent=0.25, pause=0.05)
"""For runs on a node. What comes during a run, which takes longer, is one further run."""
FOR_RELOADS = Debounce(quiet=0.05, latest=0.25, not_urgent=0.25)
"""For what makes a load balancer read its configuration again: at most some 4 times a second."""


@dataclass(frozen=True, slots=True)
class PendingEvents:
    """Events that no run has seen yet.

    Attributes:
        first: The time of the first one; of the first urgent one where there is one.
        last: The time of the last one.
        urgent: Whether one of them can change what is published.
    """

    first: float
    last: float
    urgent: bool = True

    def due(self, debounce: Debounce, ran: float = -inf) -> float:
        """Return when a run must begin. ran: when the last one began, -inf before the first."""
        if not self.urgent:
            return self.first + debounce.not_urgent
        if self.first >= ran + debounce.pause:
            return self.first
        return min(self.last + debounce.quiet, self.first + debounce.latest)


def noticed(pending: PendingEvents | None, now: float, *, urgent: bool = True) -> PendingEvents:
    """Return what is pending after one more event."""
    if pending is None or (urgent and not pending.urgent):
        return PendingEvents(now, now, urgent)
    return PendingEvents(pending.first, now) if urgent else pending


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
