"""The type of a check, and of its result."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from nplconf.doctor.facts import Facts, Unknown
from nplconf.settings import Settings

Status = Literal["ok", "warn", "fail"]
NOT_CHECKED = "not checked"
"""How the message of a check starts that could not read its facts."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check. warn: it works now, or nobody can say. fix: the command that fixes it, None when ok."""

    status: Status
    message: str
    fix: str | None = None

    @property
    def checked(self) -> bool:
        """Whether the facts could be read."""
        return not self.message.startswith(NOT_CHECKED)


def always(_: Settings) -> bool:
    """Apply whatever the settings are."""
    return True


class Check(NamedTuple):
    """One check of `nplconf doctor`.

    Attributes:
        name: As users see it.
        order: Its position in the output, lowest first.
        judge: What returns the verdict.
        applies: Whether the check is made at all with these settings.

    """

    name: str
    order: int
    judge: Callable[[Facts], Verdict]
    applies: Callable[[Settings], bool] = always


def ok(message: str) -> Verdict:
    """Return a verdict without a problem."""
    return Verdict("ok", message)


def warn(message: str, fix: str) -> Verdict:
    """Return a verdict that does not make `doctor` fail."""
    return Verdict("warn", message, fix)


def fail(message: str, fix: str) -> Verdict:
    """Return a verdict that makes `doctor` end with exit code 5."""
    return Verdict("fail", message, fix)


def unchecked(fact: Unknown) -> Verdict:
    """Return the verdict on a fact that could not be read: never "ok", as nothing was seen."""
    if fact.see == "capabilities":
        fix = "sudo nplconf doctor"
    else:
        fix = f"nplconf doctor  # after the fix of {fact.see}" if fact.see else "nplconf doctor -v"
    return warn(f"{NOT_CHECKED}: {fact.why}", fact.fix or fix)
