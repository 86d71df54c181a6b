"""Record every run of `apply`, whatever its result: the time of the last successful run, and the textfile."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import nan
from pathlib import Path

from nplconf.cli import messages
from nplconf.cli.connections import Connections, connect
from nplconf.errors import BadDataError, NplconfError
from nplconf.files import writing
from nplconf.files.reading import read_text
from nplconf.model import Failure
from nplconf.node import counters, state
from nplconf.node import last_success as success
from nplconf.node.counters import Counters
from nplconf.output import metrics
from nplconf.output.metrics import Counts, RunMetrics
from nplconf.run.outcome import Result
from nplconf.settings import Settings

Publish = Callable[[Callable[[], str]], None]
"""Takes a function that returns the text of a run's metrics."""


def recorded(
    settings: Settings,
    connections: Connections,
    run: Callable[[], Result],
    publish: Publish | None = None,
) -> tuple[Result, int]:
    """Carry out a run and record its result. Return the result and the exit code. Errors of the run are raised again.

    Args:
        settings: Those of the run.
        connections: The cluster and the node.
        run: Carries it out.
        publish: Takes the metrics.
    """
    began = time.monotonic()
    try:
        result = run()
    except Exception as err:
        _write_metrics(settings, connections, getattr(err, "exit_code", 1), began, publish=publish)
        raise
    code = result.exit_code
    if completed(result):
        code = code or _note(settings)
    problem = _write_metrics(settings, connections, code, began, result, publish)
    if problem:
        result = replace(result, failures=(*result.failures, problem))
    return result, code or result.exit_code


def completed(result: Result) -> bool:
    """Return whether a run did everything it could. Stale rows and blocked removals are for people to decide."""
    blocked = result.exit_code == metrics.BLOCKED and not result.decision.unusable and not result.failures
    return result.exit_code in (0, metrics.STALE) or blocked


def failed(settings: Settings, code: int) -> None:
    """Record a run that could not begin."""
    _write_metrics(settings, connect(settings), code, time.monotonic())


def _note(settings: Settings) -> int:
    """Write the time of success. Return 0, or 5 if the state directory cannot be written."""
    now = success.Success(state.boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
    try:
        success.note(settings.state_dir, now)
    except OSError as err:
        messages.error(
            f"{settings.state_dir}: cannot be written ({err.strerror}): the run succeeded, but its time is not recorded"
        )
        return 5
    return 0


def _write_metrics(
    settings: Settings,
    connections: Connections,
    code: int,
    began: float,
    result: Result | None = None,
    publish: Publish | None = None,
) -> Failure | None:
    """Write the metrics. Return the failure if that is not possible."""
    if not settings.textfile and not publish:
        return None
    now = time.time()
    well = code == 0 or (result is not None and completed(result))
    run = RunMetrics(
        status=code,
        attempted=now,
        succeeded=now if well else _last_success(settings, now),
        seconds=time.monotonic() - began,
        range_ports=len(settings.port_range),
        backend=_backend(settings, connections),
        counts=metrics.counted(result) if result else _rules_alone(connections),
        counters=_count(settings, code, result),
        expiry=_expiry(settings),
    )
    if publish:
        publish(partial(metrics.text, run))
    return _write(settings.textfile, metrics.text(run), result) if settings.textfile else None


def _write(textfile: str, text: str, result: Result | None) -> Failure | None:
    try:
        # readable for the collector, which reads only files named *.prom
        writing.replace(Path(textfile), text.encode(), mode=0o644)
    except OSError as err:
        message = f"the metrics cannot be written: {err.strerror}"
        if result is None:
            messages.error(f"{textfile}: {message}")
        return Failure("metrics", textfile, message)
    return None


def _expiry(settings: Settings) -> float:
    """Return the end of the credentials in seconds since 1970; NaN if unknown or without credentials."""
    if settings.cluster_state or settings.no_cluster:
        return nan
    from nplconf.cluster.api import credentials, validity

    credential = credentials.used()
    known = validity.of(credential) if credential else None
    return known.ends if known else nan


def _count(settings: Settings, code: int, result: Result | None) -> Counters:
    """Count this run. If the state directory cannot be written, the run itself has reported it."""
    done = [change.action for change in result.done] if result else []
    steps = [failure.step for failure in result.failures] if result else []
    total = counters.load(settings.state_dir).after(metrics.result_of(code), done, steps)
    with contextlib.suppress(OSError):
        counters.save(settings.state_dir, total)
    return total


def _last_success(settings: Settings, now: float) -> float:
    """Return the time of the last success in seconds since 1970; 0: never.

    The time in the state directory may be a minute older than that in the textfile.
    """
    last = success.last(settings.state_dir)
    before = 0.0
    with contextlib.suppress(BadDataError, ValueError):
        before = metrics.last_success(read_text(settings.textfile)) if settings.textfile else 0.0
    return max(last.when if last else 0.0, before if before <= now else 0.0)


def _backend(settings: Settings, connections: Connections) -> str:
    try:
        return connections.node().backend
    except NplconfError:
        return settings.backend


def _rules_alone(connections: Connections) -> Counts:
    """Return the counts of the kernel's rules after a failed run; NaN if no family can be read."""
    try:
        node = connections.node()
        found = node.read().found
    except NplconfError:
        found = {}
    if not found:
        return Counts({"live": nan}, nan, {}, {})
    keys = {rule.key for family, have in found.items() for rule in node.rules.live(have, family)}
    return Counts({"live": len(keys)}, len({key.node_port for key in keys}), {}, {})
