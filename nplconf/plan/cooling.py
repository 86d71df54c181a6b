"""Which freed numbers wait: a load balancer that is late must not send the old Pod's clients to a new Pod."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nplconf.model import PodPort


class Cooling(NamedTuple):
    """A freed number that only its last owner may have before the cool-down is over. freed_at: seconds, boot-time
    clock.
    """

    number: int
    owner: PodPort
    freed_at: float


def with_start_times(cooling: Iterable[Cooling], *, now: float, rebooted: bool) -> tuple[Cooling, ...]:
    """Those of before, by the clock of now: the boot-time clock, seconds.

    It began anew with this boot, and so does every period (rebooted). A time in the future cannot be: it counts from
    now, and is kept as such, or it would be now at every look until the clock has come there.
    """
    return tuple(c if not rebooted and c.freed_at <= now else Cooling(c.number, c.owner, now) for c in cooling)


def current(cooling: Iterable[Cooling], *, now: float, period: float, rebooted: bool) -> tuple[Cooling, ...]:
    """Those whose time is not over; now, rebooted: as for `with_start_times`."""
    return tuple(c for c in with_start_times(cooling, now=now, rebooted=rebooted) if now - c.freed_at < period)


def freed(
    before: Mapping[PodPort, int], after: Mapping[PodPort, int], cooling: Iterable[Cooling], *, now: float
) -> tuple[Cooling, ...]:
    """The cooling numbers once `after` is in force: those of before that nobody has now join them, those in use leave.

    One record per number, sorted by it.
    """
    used = set(after.values())
    waiting = {c.number: c for c in cooling if c.number not in used}
    for owner, number in before.items():
        if number not in used:
            waiting.setdefault(number, Cooling(number, owner, now))
    return tuple(waiting[number] for number in sorted(waiting))
