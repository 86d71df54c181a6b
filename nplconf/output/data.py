"""Results as plain data, which become JSON. Every value is a dict, a list, a string, a number or None."""

from collections.abc import Collection, Iterable
from typing import Any

from nplconf.model import Change, Failure, Finding, Patch, PortMapping, Skipped
from nplconf.plan.diff import Diff
from nplconf.plan.document import mapping_to_data, skipped_to_data
from nplconf.run.decision import Decision
from nplconf.run.outcome import Result


def plan(decision: Decision) -> dict[str, Any]:
    """Return what `plan -o json` prints."""
    data = _body(decision, decision.diff.changes, decision.patches)
    data["failures"] = [failure(f) for f in decision.failures]
    return data | {"summary": _counts(decision.diff, decision.plan.skipped)}


def apply(result: Result) -> dict[str, Any]:
    """Return what `apply -o json` prints."""
    decision = result.decision
    data = _body(decision, decision.diff.changes, result.patches)
    data["failures"] = [failure(f) for f in result.failures]
    data["degraded"] = list(result.degraded)
    counts = _counts(decision.diff, decision.plan.skipped)
    return data | {"summary": counts | recap(result)}


def recap(result: Result) -> dict[str, int]:
    """Return the counts of the recap line."""
    return {
        "ok": len(result.decision.diff.unchanged) + _host_ports(result),
        "changed": len(result.done),
        "skipped": len(result.decision.plan.skipped),
        "failed": len(result.failures),
    }


def _host_ports(result: Result) -> int:
    return sum(m.via == "hostPort" for m in result.in_place)


def change_record(found: Change) -> dict[str, Any]:
    """Return the fields of one change's log record."""
    mapping = found.mapping
    return {
        "action": found.action,
        "reason": found.reason,
        "pod": mapping.pod.key,
        "podPort": mapping.pod_port,
        "protocol": mapping.protocol,
        "ipFamily": mapping.family,
        "nodePort": mapping.node_port,
    }


def diff(name: str, found: Diff, skipped: Iterable[Skipped] = ()) -> dict[str, Any]:
    """Return what `diff A B -o json` prints."""
    rows = [skipped_to_data(row) for row in skipped]
    return {
        "node": name,
        "changes": [change(c) for c in found.changes],
        "skipped": rows,
        "stale": [],
        "pending": [],
        "draining": [],
        "patches": [],
        "findings": [],
        "failures": [],
        "summary": _counts(found, rows),
    }


def change(found: Change) -> dict[str, Any]:
    """Return one change as data."""
    return {
        "action": found.action,
        "reason": found.reason,
        "mapping": mapping_to_data(found.mapping),
        "was": mapping_to_data(found.was) if found.was else None,
    }


def failure(found: Failure) -> dict[str, str]:
    """Return one failure as data."""
    return {"step": found.step, "subject": found.subject, "message": found.message}


def finding(found: Finding) -> dict[str, str]:
    """Return one finding as data."""
    return {"kind": found.kind, "subject": found.subject, "message": found.message}


def patch(found: Patch) -> dict[str, Any]:
    """Return one annotation patch as data."""
    return {
        "namespace": found.pod.namespace,
        "name": found.pod.name,
        "uid": found.pod.uid,
        "annotation": found.annotation,
        **({"condition": found.condition._asdict()} if found.condition else {}),
    }


def _body(decision: Decision, changes: Iterable[Change], patches: Iterable[Patch]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "node": decision.plan.node,
        "changes": [change(c) for c in changes],
        "skipped": [skipped_to_data(s) for s in decision.plan.skipped],
        "stale": [{"reason": s.reason, "mapping": mapping_to_data(s.mapping)} for s in decision.stale],
        "pending": [
            {
                "pod": {"namespace": p.pod.namespace, "name": p.pod.name, "uid": p.pod.uid},
                "podPort": p.pod_port,
                "protocol": p.protocol,
                "reason": p.reason,
            }
            for p in decision.pending
        ],
        "draining": [_staying(m) for m in decision.draining],
        "patches": [patch(p) for p in patches],
        "findings": [finding(f) for f in decision.findings],
    }
    if decision.aliases:
        data["aliases"] = [_staying(m) for m in decision.aliases]
    if decision.blocked:
        data["blocked"] = {
            "kind": decision.blocked.kind,
            "message": decision.blocked.message,
            "removals": [change(c) for c in decision.blocked.removals],
        }
    return data


def _staying(found: PortMapping) -> dict[str, Any]:
    """Return a mapping that is not published and whose rule stays: of a deleted Pod, or an alias."""
    data = mapping_to_data(found)
    return {"pod": data["pod"], "mapping": data}


def _counts(found: Diff, skipped: Collection[object]) -> dict[str, int]:
    return {
        "add": found.count("add"),
        "change": found.count("change"),
        "delete": found.count("delete"),
        "repair": found.count("repair"),
        "unchanged": len(found.unchanged),
        "skipped": len(skipped),
    }
