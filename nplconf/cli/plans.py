"""Plan files on the command line: given, found in a directory, read and checked."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nplconf.characters import escaped
from nplconf.cli import say
from nplconf.desired.names import subdomain
from nplconf.errors import BadConfigError, BadDataError
from nplconf.model import Plan
from nplconf.run.decision import Bounds
from nplconf.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nplconf.files.strict_yaml import Problem
    from nplconf.plan.policy import Policy

Document = TypeVar("Document")


def given(named: str | None, settings: Settings) -> str | None:
    """The plan file that binds this run: the one named, else the node's in planDir, else none (automatic mode).

    Raises BadConfigError for reviewed mode without a planDir, BadDataError for a node whose plan no directory can hold.
    """
    if named:
        return named
    if settings.mode == "auto":
        return None
    if not settings.plan_dir:
        raise BadConfigError(f"{settings.config}: mode: reviewed needs planDir, or a PLAN on the command line")
    if not subdomain(settings.node):
        raise BadDataError(f"{escaped(settings.node)}: no name of a node: there is no plan for it")
    return str(Path(settings.plan_dir, f"{settings.node}.yaml"))


def bounds(named: str | None, settings: Settings, *, exact: bool = False) -> Bounds:
    """What binds this run: a plan, or in automatic mode the policy. Raises BadDataError, and as `given`."""
    path = given(named, settings)
    if path:
        return Bounds(for_node(read(path), path, settings), exact=exact)
    return Bounds(policy=policy(settings))


def policy(settings: Settings) -> "Policy | None":
    """The policy, if there is one. Raises BadDataError, after every problem was said."""
    if not settings.policy:
        return None
    from nplconf.files import reading as files
    from nplconf.plan.policy import load

    found, problems = load(files.read_text(settings.policy), settings.policy, settings.port_range)
    return _good(found, problems, settings.policy)


def read(path: str) -> Plan:
    """A plan without problems. Raises BadDataError, after every problem was said."""
    from nplconf.files import reading as files
    from nplconf.plan.reread import reread

    text = files.read_text(path)
    if plan := reread(text):
        return plan
    # the schema costs more than a whole run in automatic mode
    from nplconf.plan.validate import load

    return _good(*load(text, path), path)


def _good(document: Document | None, problems: "Sequence[Problem]", path: str) -> Document:
    lines = (f"{one.file}:{one.line}: {one.path}: {one.message} [{one.rule}]" for one in problems)
    say.each(say.error, lines)
    if document is None or problems:
        many = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise BadDataError(f"{escaped(path)}: {many}: nothing is taken from it")
    return document


def for_node(plan: Plan, path: str, settings: Settings) -> Plan:
    """The same plan when it is one for this node and range. Raises BadDataError."""
    of_node(plan, path, settings)
    allowed = settings.port_range
    if not allowed.first <= plan.port_range.first <= plan.port_range.last <= allowed.last:
        raise BadDataError(f"{path}: portRange {plan.port_range} is not inside --port-range {allowed}")
    return plan


def of_node(plan: Plan, path: str, settings: Settings) -> Plan:
    """The same plan when it is one for this node. Raises BadDataError."""
    if plan.node != settings.node:
        raise BadDataError(
            f"{escaped(path)}: a plan for node {plan.node}, this one is {escaped(settings.node)} (--node)"
        )
    return plan
