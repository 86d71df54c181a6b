"""The cool-down of released ports: a load balancer that is late must not send the old Pod's clients to a new Pod."""

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from nplconf.model import PodPort


class Cooling(NamedTuple):
    """A released port that only its last owner can get before the cool-down ends.

    freed_at: seconds of the boot-time clock.
    """

    number: int
    owner: PodPort
    freed_at: float


def with_start_times(cooling: Iterable[Cooling], *, now: float, rebooted: bool) -> tuple[Cooling, ...]:
    """Return the cooling ports with start times that fit the clock.

    The boot-time clock starts at 0 with each boot, so after a reboot every cool-down starts again. A start time in the
    future is set to now and stored; otherwise the cool-down would restart at every run until the clock gets there.

    Args:
        cooling: As an earlier run left them.
        now: Seconds of the boot-time clock.
        rebooted: They are of another boot.

    """
    return tuple(c if not rebooted and c.freed_at <= now else Cooling(c.number, c.owner, now) for c in cooling)


def current(cooling: Iterable[Cooling], *, now: float, period: float, rebooted: bool) -> tuple[Cooling, ...]:
    """Return the ports that still cool down after so many seconds (period); now, rebooted: see `with_start_times`."""
    return tuple(c for c in with_start_times(cooling, now=now, rebooted=rebooted) if now - c.freed_at < period)


def freed(
    before: Mapping[PodPort, int], used: Container[int], cooling: Iterable[Cooling], *, now: float
) -> tuple[Cooling, ...]:
    """Return the cooling ports once other ports are in use, one record per port, sorted by port.

    Args:
        before: The ports of owners that had one. Those that are not in use now start to cool down.
        used: The ports in use, which do not cool down.
        cooling: The ports that cool down already.
        now: Seconds of the boot-time clock.
    """
    waiting = {c.number: c for c in cooling if c.number not in used}
    for owner, number in before.items():
        if number not in used:
            waiting.setdefault(number, Cooling(number, owner, now))
    return tuple(waiting[number] for number in sorted(waiting))
