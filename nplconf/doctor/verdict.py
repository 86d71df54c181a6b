"""What a check comes to."""

from dataclasses import dataclass
from typing import Literal

from nplconf.doctor.facts import Unknown

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """warn: it works, or will for now. fix: the command that mends it, None when nothing is to be mended."""

    status: Status
    message: str
    fix: str | None = None


def ok(message: str) -> Verdict:
    """All is well."""
    return Verdict("ok", message)


def warn(message: str, fix: str) -> Verdict:
    """Somebody should look at it."""
    return Verdict("warn", message, fix)


def fail(message: str, fix: str) -> Verdict:
    """It does not work, or will not."""
    return Verdict("fail", message, fix)


def unknown(fact: Unknown) -> Verdict:
    """Nothing was seen, and so nothing is said against it: what is in the way is named where it belongs."""
    return Verdict("ok", f"not checked: {fact.why}")
