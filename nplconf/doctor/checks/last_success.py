"""Check `last-success`: a run ended well not long ago."""

import contextlib
import time
from typing import NamedTuple

from nplconf.doctor.facts import LOST, Facts, Unknown, is_closed
from nplconf.doctor.facts.units import JOB, TIMER, WATCH
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked, warn
from nplconf.errors import NplconfError
from nplconf.install import systemd
from nplconf.node import last_success as success
from nplconf.node import state

LATE = 300.0
"""Seconds without a good run; the timer starts one every ten, watch mode every thirty by default."""


class LastSuccess(NamedTuple):
    """The last good run.

    Attributes:
        age: seconds, None when it was before this boot.
        ever: there was one.
        timer: the timer is on.
        watch: the service of watch mode is on.
    """

    age: float | None
    ever: bool
    timer: bool
    watch: bool = False


def last_good_run(facts: Facts) -> LastSuccess | Unknown:
    """Return when the last good run ended, and what starts the next one."""
    directory = facts.settings.state_dir
    if is_closed(f"{directory}/{success.FILE}"):
        return Unknown(f"no permission to read {directory} (run as root)", see="capabilities")
    last = success.last(directory)
    if last is None and facts.sources.lost and not facts.sources.salvaged:
        return LOST
    active: list[str] = []
    with contextlib.suppress(NplconfError):
        active = systemd.active((TIMER, WATCH)) if systemd.runs() else []
    here = last is not None and last.boot == state.boot_id()
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - last.at if last and here else None
    return LastSuccess(age, last is not None, timer=TIMER in active, watch=WATCH in active)


def last_success(facts: Facts) -> Verdict:
    """A run ended well within the last minutes."""
    found = facts.read(last_good_run)
    if isinstance(found, Unknown):
        return unchecked(found)
    look = f"systemctl start {JOB} || journalctl -u {JOB} -n 50" if found.timer else "nplconf apply"
    if found.watch:
        look = f"systemctl status {WATCH}; journalctl -u {WATCH} -n 50"
    if not found.ever:
        return warn("no run has ended well yet", look)
    if found.age is None:
        return warn("no run has ended well since this boot", look)
    if found.age > LATE:
        message = f"the last run that ended well was {found.age / 60:.0f} minutes ago"
        return fail(message, look) if found.timer or found.watch else warn(message, look)
    # below zero: the clock was set back since then
    return ok(f"the last run that ended well was at most {max(found.age, 0):.0f} s ago")


CHECKS = (Check("last-success", 110, last_success),)
