"""Which freed numbers wait: a load balancer that is late must not send the old Pod's clients to a new Pod."""

from collections.abc import Iterable
from collections.abc import Mapping as MappingOf

from nplconf.model import Cooling, PodPort


def current(cooling: Iterable[Cooling], *, now: float, period: float, rebooted: bool) -> tuple[Cooling, ...]:
    """Those whose time is not over.

    now: the boot-time clock, seconds; it began anew with this boot, and so does every period (rebooted). A time in the
    future cannot be: it counts from now.
    """
    renewed = (c if not rebooted and c.freed_at <= now else Cooling(c.number, c.owner, now) for c in cooling)
    return tuple(c for c in renewed if now - c.freed_at < period)


def freed(
    before: MappingOf[PodPort, int], after: MappingOf[PodPort, int], cooling: Iterable[Cooling], *, now: float
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
