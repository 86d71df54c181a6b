"""The HTML report: one self-contained page. The same input gives the same bytes, without a date."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal, NamedTuple

from nplconf.characters import escaped
from nplconf.model import Plan, PortMapping, Skipped
from nplconf.output.table import summary, target
from nplconf.run.decision import Decision

State = Literal["mapped", "free", "taken", "cooling"]
STATES: tuple[State, ...] = ("mapped", "free", "taken", "cooling")
COLUMNS = ("Port", "Pod", "Address", "Services", "Node IP", "Via", "Sources")
_BLOCK = 100
"""Ports that the map shows together."""
_TITLE = 100
"""The most characters of a title in the map. The row that it links to has the complete text."""


class Note(NamedTuple):
    """One line under the table: a short label, the subject, and the reason."""

    label: str
    subject: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The content of the page.

    Attributes:
        taken: Ports that other programs have, with their names ("" if unknown).
        cooling: Ports that cool down, with their last owner.
        sections: Title -> notes, in this order.
        summary: What `apply` would do; "" for a plan alone.
    """

    plan: Plan
    taken: Mapping[int, str] = field(default_factory=dict)
    cooling: Mapping[int, str] = field(default_factory=dict)
    sections: Mapping[str, Sequence[Note]] = field(default_factory=dict)
    summary: str = ""
    blocked: str = ""


def of_plan(plan: Plan) -> Report:
    """Return the report of a plan, without any node."""
    return Report(plan, sections={"Skipped": _skipped(plan.skipped)})


def of_decision(decision: Decision, taken: Mapping[int, str], cooling: Mapping[int, str]) -> Report:
    """Return the report of what `plan` prints, with the ports that are not available."""
    sections = {
        "Findings": [Note(f.kind, f.subject, f.message) for f in decision.findings],
        "Failed": [Note(f.step, f.subject, f.message) for f in decision.failures],
        "Skipped": _skipped(decision.plan.skipped),
        "Stale": [Note(s.reason, f"{_port(s.mapping)} {target(s.mapping)}") for s in decision.stale],
        "Draining": [Note("draining", f"{_port(m)} {target(m)}") for m in decision.draining],
        "Waiting for a review": [Note(p.reason, f"{p.pod.key}:{p.pod_port}/{p.protocol}") for p in decision.pending],
    }
    blocked = decision.blocked.message if decision.blocked else ""
    return Report(decision.plan, taken, cooling, sections, summary(decision.diff)[1], blocked)


def page(report: Report) -> str:
    """Return the whole page. Names are plain text in it: control characters are escaped, and so is HTML."""
    import jinja2

    plan = report.plan
    cells = list(_cells(report))
    columns = COLUMNS if any(m.source_ranges for m in plan.mappings) else COLUMNS[:-1]
    template = resources.files("nplconf.output").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=_plain)
    return environment.from_string(template).render(
        node=plan.node,
        range=str(plan.port_range),
        size=len(plan.port_range),
        node_ips=[ip for _, ip in sorted(plan.node_ips.items())],
        summary=report.summary,
        blocked=report.blocked,
        counts=[(state, sum(cell["state"] == state for cell in cells)) for state in STATES],
        blocks=[cells[at : at + _BLOCK] for at in range(0, len(cells), _BLOCK)],
        columns=columns,
        rows=list(_rows(plan.mappings, len(columns))),
        sections=[{"id": f"s{i}", "title": t, "notes": n} for i, (t, n) in enumerate(_sections(report))],
    )


def _sections(report: Report) -> Iterator[tuple[str, Sequence[Note]]]:
    """Yield the sections. The last one lists the unavailable ports, since a phone shows no titles of the map."""
    yield from report.sections.items()
    mapped = {mapping.node_port for mapping in report.plan.mappings}
    had = [Note("taken", str(number), by) for number, by in sorted(report.taken.items()) if number not in mapped]
    last = [Note("cooling", str(number), by) for number, by in sorted(report.cooling.items()) if number not in mapped]
    if notes := [*had, *(note for note in last if int(note.subject) not in report.taken)]:
        yield "Taken and cooling", [note for note in notes if int(note.subject) in report.plan.port_range]


def _plain(value: object) -> object:
    return escaped(value) if type(value) is str else value


def _cells(report: Report) -> Iterator[dict[str, Any]]:
    mapped: dict[int, list[str]] = {}
    for mapping in report.plan.mappings:
        mapped.setdefault(mapping.node_port, []).append(f"{mapping.protocol} {target(mapping)}")
    span = report.plan.port_range
    for number in span.numbers:
        state, by = _state(number, mapped, report)
        title = " ".join(filter(None, (str(number), state, by)))
        yield {"number": number, "state": state, "title": title if len(title) <= _TITLE else f"{title[:_TITLE]}…"}


def _state(number: int, mapped: Mapping[int, Iterable[str]], report: Report) -> tuple[State, str]:
    if number in mapped:
        return "mapped", ", ".join(dict.fromkeys(mapped[number]))
    if number in report.taken:
        return "taken", report.taken[number]
    return ("cooling", report.cooling[number]) if number in report.cooling else ("free", "")


def _rows(mappings: Iterable[PortMapping], columns: int) -> Iterator[dict[str, Any]]:
    """Yield one row per mapping. The map's cell of a port links to its first row."""
    seen: set[int] = set()
    for mapping in mappings:
        anchor = "" if mapping.node_port in seen else f"m{mapping.node_port}"
        seen.add(mapping.node_port)
        yield {"anchor": anchor, "cells": _row(mapping)[:columns]}


def _row(mapping: PortMapping) -> tuple[str, ...]:
    return (
        _port(mapping),
        f"{mapping.pod.key}:{mapping.pod_port}" if mapping.pod.name else "an unknown Pod",
        target(mapping).rpartition(" -> ")[2],
        ", ".join(mapping.services),
        mapping.node_ip,
        mapping.via,
        ", ".join(mapping.source_ranges),
    )


def _port(mapping: PortMapping) -> str:
    return f"{mapping.protocol}/{mapping.node_port}"


def _skipped(rows: Iterable[Skipped]) -> list[Note]:
    found = []
    for row in rows:
        who = f"{row.pod}:{row.ports}" if row.pod else row.ports
        message = f"{row.message} ({row.rule})" if row.rule else row.message
        found.append(Note(row.reason, f"{who} for {row.service}" if row.service else "", message))
    return found
