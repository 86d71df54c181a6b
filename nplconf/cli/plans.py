"""Plan files on the command line: find, read and check them."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nplconf.characters import escaped
from nplconf.cli import messages
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
    """Return the plan file of this run: the named one, or the node's in planDir. None in automatic mode.

    Raises:
        BadConfigError: Reviewed mode without a planDir.
        BadDataError: The node's name cannot be a file name.
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
    """Return what binds this run: a plan, or in automatic mode the policy. Raises BadDataError, and as `given`."""
    path = given(named, settings)
    if path:
        return Bounds(for_node(read(path), path, settings), exact=exact)
    return Bounds(policy=policy(settings))


def policy(settings: Settings) -> "Policy | None":
    """Return the policy, None without one. Every problem is logged; then BadDataError is raised."""
    if not settings.policy:
        return None
    from nplconf.files import reading as files
    from nplconf.plan.policy import load

    found, problems = load(files.read_text(settings.policy), settings.policy, settings.port_range)
    return _good(found, problems, settings.policy)


def read(path: str) -> Plan:
    """Return a plan without problems. Every problem is logged; then BadDataError is raised."""
    from nplconf.files import reading as files
    from nplconf.plan.reread import reread

    text = files.read_text(path)
    if plan := reread(text):
        return plan
    # validation by the schema costs more than a whole run in automatic mode
    from nplconf.plan.validate import load

    return _good(*load(text, path), path)


def _good(document: Document | None, problems: "Sequence[Problem]", path: str) -> Document:
    lines = (f"{one.file}:{one.line}: {one.path}: {one.message} [{one.rule}]" for one in problems)
    messages.each(messages.error, lines)
    if document is None or problems:
        many = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise BadDataError(f"{escaped(path)}: {many}: nothing is taken from it")
    return document


def for_node(plan: Plan, path: str, settings: Settings) -> Plan:
    """Return the plan if it is for this node and range. Raises BadDataError."""
    of_node(plan, path, settings)
    allowed = settings.port_range
    if not allowed.first <= plan.port_range.first <= plan.port_range.last <= allowed.last:
        raise BadDataError(f"{path}: portRange {plan.port_range} is not inside --port-range {allowed}")
    return plan


def of_node(plan: Plan, path: str, settings: Settings) -> Plan:
    """Return the plan if it is for this node. Raises BadDataError."""
    if plan.node != settings.node:
        raise BadDataError(
            f"{escaped(path)}: a plan for node {plan.node}, this one is {escaped(settings.node)} (--node)"
        )
    return plan
