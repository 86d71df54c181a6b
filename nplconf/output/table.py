"""Results for a person: one line per row, then one summary line."""

import os
import sys
from collections.abc import Iterable, Sequence

from nplconf.characters import escaped
from nplconf.lists import listed
from nplconf.model import GATE, Change, Failure, Finding, Patch, Pending, PortMapping, Skipped, Stale
from nplconf.plan.diff import Diff
from nplconf.plan.limits import Blocked
from nplconf.settings import Settings

MARKS = {"add": "+", "change": "~", "delete": "-", "repair": "*"}
STYLES = {
    "add": "green",
    "change": "yellow",
    "delete": "red",
    "repair": "magenta",
    "skipped": "bright_black",
    "failed": "bold red",
    "sum": "bold",
}

Line = tuple[str, str]
"""(style, text). The text is escaped."""


def write(lines: Iterable[Line], settings: Settings) -> None:
    """Print lines to stdout, in colour if wanted."""
    if not _coloured(settings):
        for _, text in lines:
            print(text)
        return
    from rich.console import Console
    from rich.text import Text

    # colour is decided already: rich must not check NO_COLOR and TERM again
    console = Console(force_terminal=True, color_system="standard", no_color=False, highlight=False, soft_wrap=True)
    for style, text in lines:
        console.print(Text(text, style=STYLES.get(style, "")))


def _coloured(settings: Settings) -> bool:
    if settings.color != "auto":
        return settings.color == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def changes(found: Iterable[Change]) -> list[Line]:
    """Return a line per change: action, port, Pod, target, reason."""
    return [(c.action, f"{MARKS[c.action]} {change(c)}") for c in found]


def blocked(found: Blocked | None) -> list[Line]:
    """Return a line per removal that a limit blocks."""
    return [("skipped", f"! blocked: {change(c)}") for c in (found.removals if found else ())]


def change(found: Change) -> str:
    """Return one change as text."""
    mapping = found.mapping
    moved = f"{found.was.node_port} -> " if found.was and found.was.node_port != mapping.node_port else ""
    number = f"{moved}{mapping.node_port}"
    why = f"{found.reason}, hostPort" if mapping.via == "hostPort" else found.reason
    return escaped(f"{mapping.protocol}/{number:<5} {target(mapping)}  ({why}){_for(mapping)}")


def target(mapping: PortMapping) -> str:
    """Return the Pod of a mapping and the address that it leads to."""
    address = f"[{mapping.pod_ip}]" if mapping.family == "IPv6" else mapping.pod_ip
    who = f"{mapping.pod.key}:{mapping.pod_port}" if mapping.pod.name else "an unknown Pod"
    return f"{who} -> {address}:{mapping.pod_port}"


def _for(mapping: PortMapping) -> str:
    return f"  for {listed(mapping.services)}" if mapping.services else ""


def patches(found: Iterable[Patch]) -> list[Line]:
    """Return a line per annotation to write."""
    return [("patch", escaped(f"@ annotate {p.pod.key}: {_becomes(p)}")) for p in found]


def _becomes(found: Patch) -> str:
    value = "removed" if found.annotation is None else found.annotation
    condition = found.condition
    words = [] if found.same else [value]
    words += [f"condition {GATE}: {condition.status} ({condition.reason})"] if condition else []
    return ", ".join(words)


def draining(found: Iterable[PortMapping]) -> list[Line]:
    """Return a line per mapping of a deleted Pod."""
    return [_stays("draining", m, "its rule stays until the Pod ended") for m in found]


def aliases(found: Iterable[PortMapping]) -> list[Line]:
    """Return a line per alias from Antrea."""
    return [_stays("alias", m, "its rule stays for the cool-down, unpublished") for m in found]


def _stays(what: str, mapping: PortMapping, why: str) -> Line:
    return "skipped", escaped(f"! {what}: {mapping.protocol}/{mapping.node_port} {target(mapping)}: {why}")


def skipped(found: Iterable[Skipped]) -> list[Line]:
    """Return a line per skipped row."""
    return [("skipped", escaped(f"! {_skipped(row)}")) for row in found]


def _skipped(row: Skipped) -> str:
    if row.reason == "and-more":
        return row.message
    return f"{row.pod or row.service}:{row.ports} for {row.service}: {row.reason}: {row.message}"


def stale(found: Iterable[Stale]) -> list[Line]:
    """Return a line per reviewed row that no longer holds."""
    return [
        ("skipped", escaped(f"! stale: {s.mapping.protocol}/{s.mapping.node_port} {target(s.mapping)}: {s.reason}"))
        for s in found
    ]


def pending(found: Iterable[Pending]) -> list[Line]:
    """Return a line per Pod port that waits for a review."""
    return [("skipped", escaped(f"! pending: {p.pod.key}:{p.pod_port}/{p.protocol}: {p.reason}")) for p in found]


def findings(found: Iterable[Finding]) -> list[Line]:
    """Return a line per finding."""
    return [("failed", escaped(f"warning: {f.kind} {f.subject}: {f.message}")) for f in found]


def failures(found: Iterable[Failure]) -> list[Line]:
    """Return a line per failure."""
    return [("failed", escaped(f"x {f.step} {f.subject}: {f.message}")) for f in found]


def summary(found: Diff) -> Line:
    """Return the last line of `plan`."""
    actions = ["add", "change", "delete", *(["repair"] if found.count("repair") else [])]
    counts = ", ".join(f"{found.count(action)} to {action}" for action in actions)
    return "sum", f"Plan: {counts}, {len(found.unchanged)} unchanged."


def recap(node: str, counts: dict[str, int], degraded: Sequence[str] = ()) -> Line:
    """Return the last line of `apply`, in the style of Ansible's, with the reasons if the run was degraded."""
    line = f"{node} : " + " ".join(f"{name}={count}" for name, count in counts.items())
    return "sum", escaped(f"{line}  degraded: {'; '.join(degraded)}" if degraded else line)


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[Line]:
    """Return left-aligned columns under a header. Cells are escaped here."""
    cells = [tuple(header), *(tuple(escaped(cell) for cell in row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [("sum" if i == 0 else "", line) for i, line in enumerate(lines)]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 mapping", "2 mappings"."""
    return f"{number} {noun}{'s' * (number != 1)}"
