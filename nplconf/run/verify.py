"""Three facts about every mapping, each seen for itself: its rule, its number's hold, its line in the annotation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from nplconf.model import Change, Finding, Pod, PodRef, PortMapping
from nplconf.publish import annotation, patches
from nplconf.publish.annotation import Entry
from nplconf.run.decision import Decision
from nplconf.run.observed import Observed, held

Fact = Literal["ok", "missing", "wrong", "extra", "na"]


@dataclass(frozen=True, slots=True)
class Row:
    """One mapping that is to be, or that is there although it is not to be."""

    mapping: PortMapping
    rule: Fact
    hold: Fact
    annotation: Fact

    @property
    def ok(self) -> bool:
        """Nothing of it is to be mended."""
        return {self.rule, self.hold, self.annotation} <= {"ok", "na"}


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome, rows sorted by number. comparable: the two worlds belong together."""

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    comparable: bool = True

    @property
    def ok(self) -> bool:
        """The node is exactly as it is to be, and Pods were told so."""
        return self.comparable and not self.findings and all(row.ok for row in self.rows)


def verify(decision: Decision, observed: Observed, pods: Sequence[Pod] | None, *, no_hold: bool) -> Verified:
    """Compare what is to be with what is there. pods: this node's, with their annotations; None: nobody was asked."""
    told = {pod.ref: set(annotation.parse(pod.annotation)) for pod in pods or ()}
    numbers = held(observed.holds)
    rules = _rules(decision, observed)
    unclear = {p.pod for p in patches.final(pods or (), decision.listed(decision.plan.mappings), decision.form)}

    def hold(mapping: PortMapping) -> Fact:
        if no_hold or mapping.via == "hostPort":
            return "na"
        return "ok" if mapping.node_port in numbers else "missing"

    def annotated(mapping: PortMapping) -> Fact:
        if pods is None:
            return "na"
        found = told.get(mapping.pod, set())
        is_listed = mapping.family in decision.form.families and mapping not in decision.unlisted
        return _annotated(mapping, found) if is_listed else _published(mapping, told)

    rows = [Row(m, rules(m), hold(m), annotated(m)) for m in decision.plan.mappings]
    rows += [Row(c.mapping, "extra", hold(c.mapping), _published(c.mapping, told)) for c in _extra(decision)]
    rows += [Row(m, "na", "na", "extra") for m in _told_too_much(decision, told, rows)]
    findings = (*decision.findings, *_unreadable_texts(unclear, rows))
    return Verified(tuple(sorted(rows, key=lambda r: (r.mapping.key, r.mapping.pod))), findings)


def _rules(decision: Decision, observed: Observed) -> Callable[[PortMapping], Fact]:
    reached = {
        key
        for family, found in observed.found.items()
        for key in observed.rules.in_place(
            found, decision.wanted.get(family), family, decision.plan.node_ips.get(family)
        )
    }
    there = {m.key for m in decision.live}
    moved = {
        (c.mapping.key, c.mapping.owner) for c in decision.diff.changes if c.was and c.action in ("change", "repair")
    }

    def fact(mapping: PortMapping) -> Fact:
        if mapping.via == "hostPort":
            return "na"
        if mapping.key in reached:
            return "wrong" if mapping.key in decision.taken else "ok"
        return "wrong" if mapping.key in there or (mapping.key, mapping.owner) in moved else "missing"

    return fact


def _extra(decision: Decision) -> tuple[Change, ...]:
    """The removals, those that a limit blocks among them."""
    blocked = decision.blocked.removals if decision.blocked else ()
    return (*decision.removals, *blocked)


def _annotated(mapping: PortMapping, told: set[Entry]) -> Fact:
    want = annotation.entry(mapping)
    if want in told:
        return "ok"
    same = {e for e in told if (e.pod_port, e.family, e.protocol) == (want.pod_port, want.family, want.protocol)}
    return "wrong" if same else "missing"


def _published(mapping: PortMapping, told: dict[PodRef, set[Entry]]) -> Fact:
    return "extra" if annotation.entry(mapping) in told.get(mapping.pod, set()) else "na"


def _told_too_much(decision: Decision, told: dict[PodRef, set[Entry]], rows: list[Row]) -> Iterator[PortMapping]:
    """Published entries that belong to no row yet."""
    known = {(row.mapping.pod, annotation.entry(row.mapping)) for row in rows}
    ports = {(m.pod, m.pod_port, m.family, m.protocol) for m in decision.plan.mappings}
    for pod, entries in told.items():
        for e in sorted(entries):
            if (pod, e) not in known and (pod, e.pod_port, e.family, e.protocol) not in ports:
                yield PortMapping(e.node_port, e.protocol, e.family, e.node_ip, pod, "", e.pod_port)


def _unreadable_texts(unclear: set[PodRef], rows: list[Row]) -> Iterator[Finding]:
    """Pods whose annotation says the right things in a wrong form, or something that is no entry at all."""
    explained = {row.mapping.pod for row in rows if row.annotation not in ("ok", "na")}
    for pod in sorted(unclear - explained):
        yield Finding("annotation", pod.key, "the annotation is not written as it must be")
