"""The reviewed file that bounds automatic mode: who may be exposed, on which numbers, how many of them, and to whom."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from nplconf.addresses import network_fault
from nplconf.files import schema
from nplconf.files.strict_yaml import Path, Problem
from nplconf.files.strict_yaml import load as read
from nplconf.model import PortRange

Fault = tuple[Path, str, str]
"""Path in the document, rule, message."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A number that belongs to one Pod port. subject: the Pod's or the Service's namespace/name; index: its place."""

    kind: Literal["pod", "service"]
    subject: str
    pod_port: int
    node_port: int
    index: int

    @property
    def rule(self) -> str:
        """Its path in the policy file."""
        return f"spec.pins[{self.index}]"

    @property
    def namespace(self) -> str:
        """The namespace of the subject, which is the Pod's in both kinds."""
        return self.subject.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Reserved:
    """A range that belongs to one namespace."""

    namespace: str
    ports: PortRange
    index: int

    @property
    def rule(self) -> str:
        """Its path in the policy file."""
        return f"spec.ranges[{self.index}]"


@dataclass(frozen=True, slots=True)
class Sources:
    """The networks whose clients may reach a namespace."""

    namespace: str
    networks: tuple[str, ...]
    index: int

    @property
    def rule(self) -> str:
        """Its path in the policy file."""
        return f"spec.sourceRanges[{self.index}]"


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules. allow None: all namespaces that are not denied. per_pod, per_namespace: counts of numbers, or None."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    pins: tuple[Pin, ...] = ()
    ranges: tuple[Reserved, ...] = ()
    per_pod: int | None = None
    per_namespace: int | None = None
    sources: tuple[Sources, ...] = ()

    def denied(self, namespace: str) -> str | None:
        """The path of the rule that keeps a namespace out; None when it may be exposed."""
        if denied := self.denied_by_name(namespace):
            return denied
        if self.allow is None or any(matches(pattern, namespace) for pattern in self.allow):
            return None
        return "spec.namespaces.allow"

    def denied_by_name(self, namespace: str) -> str | None:
        """The path of the deny pattern that a namespace is one of.

        A pin in such a namespace is a contradiction; a pin in one that is only not allowed (yet) waits.
        """
        for index, pattern in enumerate(self.deny):
            if matches(pattern, namespace):
                return f"spec.namespaces.deny[{index}]"
        return None

    def ranges_of(self, namespace: str) -> tuple[Reserved, ...]:
        """The ranges that a namespace has to itself; none: it has what is nobody's."""
        return tuple(reserved for reserved in self.ranges if reserved.namespace == namespace)

    def networks_of(self, namespace: str) -> tuple[str, ...]:
        """Where clients of a namespace must come from; none: anywhere."""
        return next((sources.networks for sources in self.sources if sources.namespace == namespace), ())


def matches(pattern: str, namespace: str) -> bool:
    """Whether a namespace is one of a pattern's, in which `*` alone is special. Linear, whatever the pattern."""
    head, *parts = pattern.split("*")
    if not parts:
        return namespace == pattern
    *middle, tail = parts
    if not namespace.startswith(head) or not namespace.endswith(tail) or len(namespace) < len(head) + len(tail):
        return False
    at, end = len(head), len(namespace) - len(tail)
    for part in middle:
        at = namespace.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def load(text: str, file: str, within: PortRange | None = None) -> tuple[Policy | None, tuple[Problem, ...]]:
    """The policy, only where it has no problem, and its problems. within: the node's port range, where it is known."""
    document = read(text, source=file)
    problems = schema.problems(document, "policy")
    if schema.cut(problems):
        return None, problems
    spoilt = frozenset(found[1] for path in schema.unfit(document, problems) if (found := _PART.match(path)))
    spec = document.value.get("spec") if isinstance(document.value, dict) else None
    policy = _policy(spec if isinstance(spec, dict) else {}, spoilt)
    problems = tuple(sorted({*problems, *(document.problem(*fault) for fault in _faults(policy, within))}))
    return (None if problems else policy), problems


def validate(text: str, file: str, within: PortRange | None = None) -> tuple[Problem, ...]:
    """All problems of a policy; file: its name in them; within: as for `load`."""
    return load(text, file, within)[1]


_PART = re.compile(r"spec\.(\w+(?:\[\d+\])?)")
"""The part of a policy that a path leads into: an entry of a list, or another key of spec."""


def _policy(spec: dict[str, Any], spoilt: frozenset[str]) -> Policy:
    """The value of what conforms to the schema. spoilt: the parts that do not."""
    namespaces = {} if "namespaces" in spoilt else spec.get("namespaces", {})
    caps = {} if "caps" in spoilt else spec.get("caps", {})
    allow = namespaces.get("allow")
    return Policy(
        allow=None if allow is None else tuple(allow),
        deny=tuple(namespaces.get("deny", ())),
        pins=tuple(_pin(pin, index) for index, pin in _entries(spec, "pins", spoilt)),
        ranges=tuple(
            Reserved(entry["namespace"], PortRange(**entry["portRange"]), index)
            for index, entry in _entries(spec, "ranges", spoilt)
        ),
        per_pod=caps.get("perPod"),
        per_namespace=caps.get("perNamespace"),
        sources=tuple(
            Sources(entry["namespace"], tuple(entry["cidrs"]), index)
            for index, entry in _entries(spec, "sourceRanges", spoilt)
        ),
    )


def _entries(spec: dict[str, Any], key: str, spoilt: frozenset[str]) -> list[tuple[int, dict[str, Any]]]:
    if key in spoilt:
        return []
    return [(index, entry) for index, entry in enumerate(spec.get(key, ())) if f"{key}[{index}]" not in spoilt]


def _pin(data: dict[str, Any], index: int) -> Pin:
    kind: Literal["pod", "service"] = "pod" if "pod" in data else "service"
    return Pin(kind, data[kind], data["podPort"], data["nodePort"], index)


# --- the rules -------------------------------------------------------------------------------------------------------


def _faults(policy: Policy, within: PortRange | None) -> Iterator[Fault]:
    return chain(_pins(policy, within), _ranges(policy, within), _sources(policy))


def _pins(policy: Policy, within: PortRange | None) -> Iterator[Fault]:
    numbers: dict[int, Pin] = {}
    subjects: dict[tuple[str, str, int], Pin] = {}
    for pin in policy.pins:
        path: Path = ("spec", "pins", pin.index)
        if denied := policy.denied_by_name(pin.namespace):
            yield (*path, pin.kind), "pin-denied", f"{denied} denies the namespace {pin.namespace}"
        if (other := numbers.setdefault(pin.node_port, pin)) is not pin:
            yield (*path, "nodePort"), "one-number-one-pin", f"{pin.node_port} is in {other.rule} already"
        if (other := subjects.setdefault((pin.kind, pin.subject, pin.pod_port), pin)) is not pin:
            message = f"{pin.kind} {pin.subject} port {pin.pod_port} is in {other.rule} already"
            yield path, "one-pod-port-one-pin", message
        if within is not None and pin.node_port not in within:
            yield (*path, "nodePort"), "in-port-range", f"{pin.node_port} is outside --port-range {within}"
        for reserved in policy.ranges:
            if pin.node_port in reserved.ports and pin.namespace != reserved.namespace:
                message = f"{pin.node_port} belongs to {reserved.namespace} ({reserved.rule})"
                yield (*path, "nodePort"), "range-of-another", message


def _ranges(policy: Policy, within: PortRange | None) -> Iterator[Fault]:
    """Of two ranges that overlap, the one that begins later is told."""
    widest: Reserved | None = None
    for reserved in sorted(policy.ranges, key=lambda one: (one.ports, one.index)):
        path: Path = ("spec", "ranges", reserved.index, "portRange")
        ports = reserved.ports
        if ports.first > ports.last:
            yield path, "port-range", f"first {ports.first} is above last {ports.last}"
            continue
        if within is not None and not (ports.first in within and ports.last in within):
            yield path, "in-port-range", f"{ports} is outside --port-range {within}"
        if widest and ports.first <= widest.ports.last:
            yield path, "ranges-overlap", f"{ports} overlaps {widest.ports} of {widest.rule}"
        if widest is None or ports.last > widest.ports.last:
            widest = reserved


def _sources(policy: Policy) -> Iterator[Fault]:
    named: dict[str, Sources] = {}
    for sources in policy.sources:
        path: Path = ("spec", "sourceRanges", sources.index)
        if (other := named.setdefault(sources.namespace, sources)) is not sources:
            yield (*path, "namespace"), "one-namespace-one-entry", f"{sources.namespace} is in {other.rule} already"
        for at, network in enumerate(sources.networks):
            if fault := network_fault(network):
                yield (*path, "cidrs", at), "network", f"{network} {fault}"
