"""The table of what AKO and F5 CIS lose, from their models in virtual time. It needs no root, and takes seconds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from inmemory import SETTINGS

from loadbalancers.events import Mode, Story
from loadbalancers.losses import Lag, Loss, judge, worst
from loadbalancers.podlife import Shape
from loadbalancers.readers import F5, Ako, Reader
from loadbalancers.simulation import Played, play
from nplconf.settings import Settings

PERIOD = 13.0
"""Seconds between two runs of the timer: 10, and what systemd adds to that and a run takes."""
PHASES = 4
"""How many moments between two runs of the timer the event of a story is tried at."""


class Column(NamedTuple):
    """A reader with its latency."""

    name: str
    reader: Callable[[], Reader]
    latency: float


COLUMNS = (
    Column("AKO, L = 0", Ako, 0),
    Column("AKO, L = 2", Ako, 2),
    Column("F5 CIS, L = 0", F5, 0),
    Column("F5 CIS, L = 10", F5, 10),
)
HEAD = f"| event | mode | {' | '.join(column.name for column in COLUMNS)} |\n{'| --- ' * (2 + len(COLUMNS))}|\n"


def in_virtual_time(mode: Mode) -> Mode:
    """Return a mode with the period that a timer has on a node."""
    return mode if mode.period is None else mode._replace(period=PERIOD)


def phases(mode: Mode, count: int = PHASES) -> list[float]:
    """Return the delays of a timer's runs that are tried. Watch mode has no rhythm."""
    return [0.0] if mode.period is None else [mode.period * number / count for number in range(count)]


def shape(story: Story, *, gate: bool) -> Shape:
    """Return the settings of the design, or those of an ordinary Deployment."""
    chosen = Shape() if gate else Shape(gate=False, min_ready=1.0, pre_stop=5.0)
    return chosen if story.pre_stop else chosen._replace(pre_stop=0.0)


def settings(reader: Callable[[], Reader], *, gate: bool) -> Settings:
    """Return the options of nplconf: F5 ignores readiness, so it must not see a Pod before its containers are ready."""
    return replace(SETTINGS, publish_when="containers-ready") if gate and reader is F5 else SETTINGS


def rows(stories: Iterable[Story], modes: Iterable[Mode]) -> Iterator[str]:
    """Yield the rows of the table."""
    chosen = [in_virtual_time(mode) for mode in modes]
    for story in stories:
        for mode in chosen:
            cells = (cell(loss) for loss in losses(story, mode))
            yield f"| {story.name} | {mode.name} | {' | '.join(cells)} |\n"


def losses(story: Story, mode: Mode) -> Iterator[Loss]:
    """Yield the worst that each reader loses, whenever the event comes."""
    plays: dict[Settings, list[Played]] = {}
    for column in COLUMNS:
        options = settings(column.reader, gate=mode.gate)
        if options not in plays:
            plays[options] = [play(story, mode, shape(story, gate=mode.gate), options, phase) for phase in phases(mode)]
        lag = Lag(column.latency, column.latency)
        yield worst(judge(played, column.reader, lag) for played in plays[options])


def cell(loss: Loss) -> str:
    """Return a cell: lost requests, and the seconds without a member and with a dead one."""
    return f"{loss.lost:.0f} ({loss.empty:.1f} / {loss.dead:.1f})" if max(loss) >= 0.05 else "0"
