"""Compares what must be with what is: the rule, the held port and the annotation entry of each mapping.

Each of the three facts is read for itself, so that one that is missing is never concluded from another.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nplconf.model import Change, Finding, Pod, PodRef, PortMapping
from nplconf.publish import annotation
from nplconf.publish.annotation import Entry
from nplconf.run.decision import Decision
from nplconf.run.observed import Observed, held

Fact = Literal["ok", "missing", "wrong", "extra", "na"]
Published = Mapping[PodRef, set[Entry]]
"""The entries in the annotation of each Pod."""


@dataclass(frozen=True, slots=True)
class Row:
    """A mapping that must be in force, or one that is in force although it must not be."""

    mapping: PortMapping
    rule: Fact
    hold: Fact
    annotation: Fact

    @property
    def ok(self) -> bool:
        """Whether nothing of it has to be fixed."""
        return {self.rule, self.hold, self.annotation} <= {"ok", "na"}


@dataclass(frozen=True, slots=True)
class Verified:
    """The result. rows: sorted by port. comparable: cluster and node belong together."""

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    comparable: bool = True

    @property
    def ok(self) -> bool:
        """Whether the node and the annotations are exactly as they must be."""
        return self.comparable and not self.findings and all(row.ok for row in self.rows)


def verify(decision: Decision, observed: Observed, pods: Sequence[Pod] | None, *, no_hold: bool) -> Verified:
    """Compare what must be with what is.

    Args:
        decision: What `apply` would do now.
        observed: The node as it was read.
        pods: This node's Pods with their annotations; None where no cluster was read.
        no_hold: The run works without the hold daemon.

    """
    published = {pod.ref: set(annotation.parse(pod.annotation)) for pod in pods or ()}
    ports = held(observed.holds)
    rule = _rules(decision, observed)
    listing = decision.publication
    differing = {patch.pod for patch in listing.patches(pods or (), decision.plan.mappings) if not patch.same}

    def hold(mapping: PortMapping) -> Fact:
        if no_hold or mapping.via == "hostPort":
            return "na"
        is_held = mapping.node_port in ports and mapping.protocol in observed.holds.protocols
        return "ok" if is_held else "missing"

    def annotated(mapping: PortMapping) -> Fact:
        if pods is None:
            return "na"
        if mapping.family in listing.form.families and mapping not in listing.unlisted:
            return _annotated(mapping, published.get(mapping.pod, set()))
        return _unlisted(mapping, published)

    rows = [Row(m, rule(m), hold(m), annotated(m)) for m in decision.plan.mappings]
    rows += [Row(m, rule(m), hold(m), _unlisted(m, published)) for m in decision.aliases]
    rows += [Row(c.mapping, "extra", hold(c.mapping), _unlisted(c.mapping, published)) for c in _extra(decision)]
    rows += [Row(m, "na", "na", "extra") for m in _unknown_entries(decision, published, rows)]
    findings = (*decision.findings, *_unreadable_texts(differing, rows))
    return Verified(tuple(sorted(rows, key=lambda r: (r.mapping.key, r.mapping.pod))), findings)


def _rules(decision: Decision, observed: Observed) -> Callable[[PortMapping], Fact]:
    """Return a function that says whether packets reach the rule of a mapping."""
    reached = {
        key
        for family, found in observed.found.items()
        for key in observed.rules.in_place(
            found, decision.wanted.get(family), family, decision.plan.node_ips.get(family)
        )
    }
    live = {m.key for m in decision.live}
    moved = {
        (c.mapping.key, c.mapping.owner) for c in decision.diff.changes if c.was and c.action in ("change", "repair")
    }

    def fact(mapping: PortMapping) -> Fact:
        if mapping.via == "hostPort":
            return "na"
        if mapping.key in reached:
            return "wrong" if mapping.key in decision.taken else "ok"
        return "wrong" if mapping.key in live or (mapping.key, mapping.owner) in moved else "missing"

    return fact


def _extra(decision: Decision) -> tuple[Change, ...]:
    """Return the removals, and those that a limit blocks."""
    blocked = decision.blocked.removals if decision.blocked else ()
    return (*decision.removals, *blocked)


def _annotated(mapping: PortMapping, entries: set[Entry]) -> Fact:
    """Return whether the annotation has the entry of a mapping that it must list."""
    want = annotation.entry(mapping)
    if want in entries:
        return "ok"
    same = {e for e in entries if (e.pod_port, e.family, e.protocol) == (want.pod_port, want.family, want.protocol)}
    return "wrong" if same else "missing"


def _unlisted(mapping: PortMapping, published: Published) -> Fact:
    """Return whether the annotation has the entry of a mapping that it must not list."""
    return "extra" if annotation.entry(mapping) in published.get(mapping.pod, set()) else "na"


def _unknown_entries(decision: Decision, published: Published, rows: list[Row]) -> Iterator[PortMapping]:
    """Yield a mapping for each entry that belongs to no row."""
    known = {(row.mapping.pod, annotation.entry(row.mapping)) for row in rows}
    ports = {(m.pod, m.pod_port, m.family, m.protocol) for m in decision.plan.mappings}
    for pod, entries in published.items():
        for e in sorted(entries):
            if (pod, e) not in known and (pod, e.pod_port, e.family, e.protocol) not in ports:
                yield PortMapping(e.node_port, e.protocol, e.family, e.node_ip, pod, "", e.pod_port)


def _unreadable_texts(differing: set[PodRef], rows: list[Row]) -> Iterator[Finding]:
    """Yield a finding for each annotation that differs in its form only, or has something that is no entry."""
    explained = {row.mapping.pod for row in rows if row.annotation not in ("ok", "na")}
    for pod in sorted(differing - explained):
        yield Finding("annotation", pod.key, "the annotation is not in the form that nplconf writes")
