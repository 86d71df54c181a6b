"""Plan files on the command line: given, found in a directory, read and checked."""

from pathlib import Path

from nplconf.cli import say
from nplconf.errors import BadDataError
from nplconf.model import Plan
from nplconf.output.text import escaped
from nplconf.settings import Settings


def given(arguments_plan: str | None, settings: Settings) -> str | None:
    """The plan file that binds this run: the one named, else the node's in --plan-dir, else none (automatic mode)."""
    if arguments_plan:
        return arguments_plan
    if settings.plan_dir and settings.mode == "reviewed":
        return str(Path(settings.plan_dir, f"{settings.node}.yaml"))
    return None


def read(path: str) -> Plan:
    """A plan without problems. Raises BadDataError, after every problem was said."""
    # the schema costs more than a whole run in automatic mode
    from nplconf import files
    from nplconf.plan.validate import load

    plan, problems = load(files.read_text(path), path)
    if plan is None or problems:
        for problem in problems:
            say.error(f"{problem.file}:{problem.line}: {problem.path}: {problem.message} [{problem.rule}]")
        raise BadDataError(f"{escaped(path)}: {len(problems)} problems: nothing is taken from it")
    return plan


def binding(path: str | None, settings: Settings) -> Plan | None:
    """The plan that `given` found, read and checked; None in automatic mode. Raises BadDataError."""
    return for_node(read(path), path, settings) if path else None


def for_node(plan: Plan, path: str, settings: Settings) -> Plan:
    """The same plan when it is one for this node and range. Raises BadDataError."""
    if plan.node != settings.node:
        raise BadDataError(f"{path}: a plan for node {plan.node}, this one is {settings.node}")
    allowed = settings.port_range
    if not allowed.first <= plan.port_range.first <= plan.port_range.last <= allowed.last:
        raise BadDataError(f"{path}: portRange {plan.port_range} is not inside --port-range {allowed}")
    return plan
