"""Messages on stderr, one escaped line each: everything for a person that is not the command's result."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, pairwise

from nplconf.characters import escaped
from nplconf.cli import streams
from nplconf.model import Change, Failure
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


def notice(message: str) -> None:
    """Report what was done."""
    _write("notice", message, {})


def changes(
    found: Iterable[Change], text: Callable[[Change], str], fields: Callable[[Change], Mapping[str, object]]
) -> None:
    """Report changes, a line each, in one write: a first run may make 10,000.

    Args:
        found: The changes.
        text: Returns the message of one.
        fields: Returns the further fields of its JSON record.
    """
    _print(_line("notice", text(change), fields(change) if _format == "json" else {}) for change in found)


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


def _write(level: str, message: str, fields: Mapping[str, object]) -> None:
    _print((_line(level, message, fields),))


def _line(level: str, message: str, fields: Mapping[str, object]) -> str:
    prefix = f"<{_PRIORITY[level]}>" if to_journal() else ""
    if _format == "json":
        return prefix + json.dumps({"level": level, "message": message, **fields})
    return f"{prefix}nplconf: {'' if level == 'notice' else f'{level}: '}{escaped(message)}"


def _print(lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    try:
        print(text, end="", file=sys.stderr, flush=True)
    except OSError:  # stderr is closed
        streams.silence(sys.stderr)
