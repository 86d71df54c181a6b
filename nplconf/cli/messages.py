"""Messages on stderr, one escaped line each: everything for a person that is not the command's result."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, pairwise

from nplconf.characters import escaped
from nplconf.cli import streams
from nplconf.model import Failure
from nplconf.settings import Settings

MOST = 100
"""The most messages of one kind."""
_PRIORITY = {"error": 3, "warning": 4, "notice": 5, "info": 6}
"""syslog's priorities, which the journal reads from a `<N>` prefix."""

_format = "text"
_verbose = False


def prepare(words: Sequence[str], environ: Mapping[str, str]) -> None:
    """Configure messages before options are parsed, as far as command line and environment can be read."""
    given = [second for first, second in pairwise(words) if first == "--log-format"]
    given += [word.removeprefix("--log-format=") for word in words if word.startswith("--log-format=")]
    form = given[-1] if given else environ.get("NPLCONF_LOG_FORMAT")
    verbose = not {"-v", "--verbose"}.isdisjoint(words) or environ.get("NPLCONF_VERBOSE") in ("1", "true")
    _set("json" if form == "json" else "text", verbose=verbose)


def configure(settings: Settings) -> None:
    """Configure messages from the settings."""
    _set(settings.log_format, verbose=settings.verbose)


def _set(form: str, *, verbose: bool) -> None:
    global _format, _verbose
    _format, _verbose = form, verbose


def error(message: str, **fields: object) -> None:
    """Report a failure."""
    _write("error", message, fields)


def each(report: Callable[[str], None], texts: Iterable[str]) -> None:
    """Report the first hundred messages and the number of the others: tenants may cause any number in each run."""
    there = iter(texts)
    for message in islice(there, MOST):
        report(message)
    if rest := sum(1 for _ in there):
        report(f"and {rest:,} more")


def failures(report: Callable[[str], None], failed: Iterable[Failure]) -> None:
    """Report what failed, each with its step and its subject."""
    each(report, (f"{failure.step}: {failure.subject}: {failure.message}" for failure in failed))


def warning(message: str, **fields: object) -> None:
    """Report what an operator should check."""
    _write("warning", message, fields)


def notice(message: str, **fields: object) -> None:
    """Report a change."""
    _write("notice", message, fields)


def info(message: str, **fields: object) -> None:
    """Report a step, only with --verbose."""
    if _verbose:
        _write("info", message, fields)


def unexpected(err: BaseException) -> None:
    """Report a bug of nplconf: type and text of the exception; with --verbose the place, too."""
    error(f"unexpected {type(err).__name__}: {err}; this is a bug, --verbose shows where")
    if _verbose:
        import traceback

        frames = traceback.extract_tb(err.__traceback__)
        _write("info", "; ".join(f"{f.filename}:{f.lineno} {f.name}" for f in frames), {})


def to_journal() -> bool:
    """Return whether messages go to systemd's journal."""
    return "JOURNAL_STREAM" in os.environ


def _write(level: str, message: str, fields: dict[str, object]) -> None:
    if _format == "json":
        line = json.dumps({"level": level, "message": message, **fields})
    else:
        line = f"nplconf: {level}: {escaped(message)}" if level != "notice" else f"nplconf: {escaped(message)}"
    prefix = f"<{_PRIORITY[level]}>" if to_journal() else ""
    try:
        print(prefix + line, file=sys.stderr, flush=True)
    except OSError:  # stderr is closed
        streams.silence(sys.stderr)
