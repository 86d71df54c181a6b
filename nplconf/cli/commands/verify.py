"""`nplconf verify`: compare rule, hold and annotation of every mapping."""

import argparse

from nplconf.cli import messages, plans
from nplconf.cli.connections import look
from nplconf.output import data, structured, table
from nplconf.plan.document import mapping_to_data
from nplconf.run.verify import Row, Verified, verify
from nplconf.settings import Settings

COLUMNS = ("PROTOCOL", "PORT", "POD", "ADDRESS", "RULE", "HOLD", "ANNOTATION")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no argument beside the common options."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Return 0 if everything is in place, 2 on drift."""
    seen = look(settings, plans.bounds(None, settings))
    decision = seen.decision
    found = verify(decision, seen.observed, seen.pods, no_hold=settings.no_hold)
    if seen.observed.loaded.warning:
        messages.warning(seen.observed.loaded.warning)
    if decision.blocked and decision.unusable:
        messages.error(decision.blocked.message)
        found = Verified((), (), comparable=False)
    if settings.output == "table":
        table.write(_lines(found), settings)
    else:
        print(structured.text(_data(found, settings.node), settings.output), end="")
    if decision.unusable:
        return 4
    return 0 if found.ok else 2


def _data(found: Verified, node: str) -> dict[str, object]:
    rows = [
        {"mapping": mapping_to_data(r.mapping), "rule": r.rule, "hold": r.hold, "annotation": r.annotation}
        for r in found.rows
    ]
    return {"node": node, "ok": found.ok, "mappings": rows, "findings": [data.finding(f) for f in found.findings]}


def _lines(found: Verified) -> list[table.Line]:
    drift = sum(not row.ok for row in found.rows) + len(found.findings)
    count = f"{len(found.rows)} mapping{'s' * (len(found.rows) != 1)}"
    total = f"Verify: {count}, {drift} differ." if drift else f"Verify: {count}, all ok."
    if not found.comparable:
        total = "Verify: nothing is compared with another cluster."
    return [*table.columns(COLUMNS, map(_row, found.rows)), *table.findings(found.findings), ("sum", total)]


def _row(row: Row) -> tuple[str, ...]:
    m = row.mapping
    address = f"[{m.pod_ip}]" if m.family == "IPv6" else m.pod_ip
    pod = f"{m.pod.key}:{m.pod_port}" if m.pod.name else "?"
    leads = f"{address}:{m.pod_port}" if m.pod_ip else "?"
    return m.protocol, str(m.node_port), pod, leads, row.rule, row.hold, row.annotation
