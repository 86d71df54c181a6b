"""`nplconf validate PLAN...`: print all problems, each with file, line, path and rule."""

import argparse
from collections.abc import Callable
from functools import partial

from nplconf.characters import escaped
from nplconf.errors import BadDataError, UsageError
from nplconf.files import reading as files
from nplconf.files.strict_yaml import Problem
from nplconf.output import structured, table
from nplconf.plan import policy, validate
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("plans", nargs="*", metavar="PLAN", help="plan files; - is stdin")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Return 0 without problems, 65 with any."""
    if not arguments.plans and not settings.policy:
        raise UsageError("validate needs a PLAN, or --policy FILE")
    problems: list[Problem] = []
    for path in arguments.plans:
        problems += _problems(path, validate.validate)
    if settings.policy:
        problems += _problems(settings.policy, partial(policy.validate, within=settings.port_range))
    if settings.output == "table":
        _table(problems, len(arguments.plans) + bool(settings.policy), settings)
    else:
        print(structured.text({"ok": not problems, "problems": [_data(p) for p in problems]}, settings.output), end="")
    return 65 if problems else 0


def _problems(path: str, check: Callable[[str, str], tuple[Problem, ...]]) -> tuple[Problem, ...]:
    try:
        return check(files.read_text(path), path)
    except BadDataError as err:
        return (Problem(path, 0, "", "unreadable", str(err)),)


def _table(problems: list[Problem], count: int, settings: Settings) -> None:
    lines = [("failed", escaped(f"{p.file}:{p.line}: {p.path}: {p.message} [{p.rule}]")) for p in problems]
    total = f"{count} file{'s' * (count != 1)}, {len(problems)} problem{'s' * (len(problems) != 1)}."
    if not settings.quiet:
        lines.append(("sum", total))
    table.write(lines, settings)


def _data(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "path": problem.path,
        "rule": problem.rule,
        "message": problem.message,
    }
