"""What every run of `apply` leaves behind, however it ended: the clock of the last good one, and the textfile."""

import contextlib
import time
from collections.abc import Callable
from math import nan
from pathlib import Path

from nplconf.cli import say
from nplconf.cli.worlds import open_node
from nplconf.errors import BadDataError, NplconfError
from nplconf.files import writing
from nplconf.files.reading import read_text
from nplconf.node import last_success as success
from nplconf.node import state
from nplconf.output import metrics
from nplconf.output.metrics import Counts, Run
from nplconf.run.outcome import Result
from nplconf.settings import Settings


def recorded(settings: Settings, run: Callable[[], Result]) -> tuple[Result, int]:
    """Do a run and leave behind what came of it; the exit code with it. What it raises goes on."""
    began = time.monotonic()
    try:
        result = run()
    except Exception as err:
        _leave(settings, getattr(err, "exit_code", 1), began)
        raise
    code = result.exit_code or _note(settings)
    _leave(settings, code, began, result)
    return result, code


def failed(settings: Settings, code: int) -> None:
    """Leave behind that a run could not even begin."""
    _leave(settings, code, time.monotonic())


def _note(settings: Settings) -> int:
    """Write down that all is well: 0, or 5 where the state directory takes nothing."""
    now = success.Success(state.boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
    try:
        success.note(settings.state_dir, now)
    except OSError as err:
        say.error(
            f"{settings.state_dir}: cannot be written ({err.strerror}): the node is in order, and nothing remembers it"
        )
        return 5
    return 0


def _leave(settings: Settings, code: int, began: float, result: Result | None = None) -> None:
    if not settings.textfile:
        return
    now = time.time()
    run = Run(
        status=code,
        attempted=now,
        succeeded=now if code == 0 else _last_success(settings.state_dir, Path(settings.textfile), now),
        seconds=time.monotonic() - began,
        range_ports=len(settings.port_range),
        backend=_backend(settings),
        counts=metrics.counted(result) if result else _rules_alone(settings),
    )
    try:
        # readable for the collector, which takes files named *.prom only
        writing.replace(Path(settings.textfile), metrics.text(run).encode(), mode=0o644)
    except OSError as err:
        say.error(f"{settings.textfile}: the metrics cannot be written: {err.strerror}")


def _last_success(state_dir: str, textfile: Path, now: float) -> float:
    """Seconds since 1970; 0: never. The state directory's word may be a minute older than that of the metrics."""
    last = success.last(state_dir)
    before = 0.0
    with contextlib.suppress(BadDataError, ValueError):
        before = metrics.last_success(read_text(str(textfile)))
    return max(last.when if last else 0.0, before if before <= now else 0.0)


def _backend(settings: Settings) -> str:
    try:
        return open_node(settings).backend
    except NplconfError:
        return settings.backend


def _rules_alone(settings: Settings) -> Counts:
    """What is in the kernel after a run that came to nothing; no number where no family can be read either."""
    try:
        node = open_node(settings)
        found = node.read().found
    except NplconfError:
        found = {}
    if not found:
        return Counts({"live": nan}, nan, {}, {})
    keys = {rule.key for family, have in found.items() for rule in node.rules.live(have, family)}
    return Counts({"live": len(keys)}, len({key.node_port for key in keys}), {}, {})
