"""The policy file: it limits which namespaces are mapped, on which ports, how many, and for which clients."""

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
"""(path in the document, rule, message) of a problem."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A port for one Pod port alone. subject: namespace/name of the Pod or Service; index: place in the file."""

    kind: Literal["pod", "service"]
    subject: str
    pod_port: int
    node_port: int
    index: int

    @property
    def rule(self) -> str:
        """The path of this entry in the policy file."""
        return f"spec.pins[{self.index}]"

    @property
    def namespace(self) -> str:
        """The namespace of the subject, which is the Pod's in both kinds."""
        return self.subject.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Reserved:
    """A port range that only one namespace can use."""

    namespace: str
    ports: PortRange
    index: int

    @property
    def rule(self) -> str:
        """The path of this entry in the policy file."""
        return f"spec.ranges[{self.index}]"


@dataclass(frozen=True, slots=True)
class Sources:
    """The networks whose clients can reach the mappings of a namespace."""

    namespace: str
    networks: tuple[str, ...]
    index: int

    @property
    def rule(self) -> str:
        """The path of this entry in the policy file."""
        return f"spec.sourceRanges[{self.index}]"


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy. allow None: every namespace that is not denied. per_pod, per_namespace: numbers of ports, or None."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    pins: tuple[Pin, ...] = ()
    ranges: tuple[Reserved, ...] = ()
    per_pod: int | None = None
    per_namespace: int | None = None
    sources: tuple[Sources, ...] = ()

    def denied(self, namespace: str) -> str | None:
        """Return the path of the rule that denies a namespace, None if the namespace is allowed."""
        if denied := self.denied_by_name(namespace):
            return denied
        if self.allow is None or any(matches(pattern, namespace) for pattern in self.allow):
            return None
        return "spec.namespaces.allow"

    def denied_by_name(self, namespace: str) -> str | None:
        """Return the path of the deny pattern that matches a namespace, or None.

        A pin in such a namespace is an error. A pin in a namespace that is not in the allow list has no effect.
        """
        for index, pattern in enumerate(self.deny):
            if matches(pattern, namespace):
                return f"spec.namespaces.deny[{index}]"
        return None

    def ranges_of(self, namespace: str) -> tuple[Reserved, ...]:
        """Return the ranges reserved for a namespace; without any it uses the ports that no range covers."""
        return tuple(reserved for reserved in self.ranges if reserved.namespace == namespace)

    def networks_of(self, namespace: str) -> tuple[str, ...]:
        """Return the networks that clients of a namespace must come from; () for any."""
        return next((sources.networks for sources in self.sources if sources.namespace == namespace), ())


def matches(pattern: str, namespace: str) -> bool:
    """Return whether a pattern matches a namespace. Only `*` is special. The time is linear for every pattern."""
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
    """Return the policy if it has no problem, else None, and its problems.

    Args:
        text: The file's text.
        file: Its name, for problems.
        within: The port range of the node, if it is known.

    """
    document = read(text, source=file, judge=schema.judge("policy"))
    problems = schema.problems(document, "policy")
    if schema.cut(problems):
        return None, problems
    spoilt = frozenset(found[1] for path in schema.unfit(document, problems) if (found := _PART.match(path)))
    spec = document.value.get("spec") if isinstance(document.value, dict) else None
    policy = _policy(spec if isinstance(spec, dict) else {}, spoilt)
    problems = tuple(sorted({*problems, *(document.problem(*fault) for fault in _faults(policy, within))}))
    return (None if problems else policy), problems


def validate(text: str, file: str, within: PortRange | None = None) -> tuple[Problem, ...]:
    """Return all problems of a policy. Arguments as for `load`."""
    return load(text, file, within)[1]


_PART = re.compile(r"spec\.(\w+(?:\[\d+\])?)")
"""The part of a policy that a path is in: an entry of a list, or another key of spec."""


def _policy(spec: dict[str, Any], spoilt: frozenset[str]) -> Policy:
    """Return the policy of the parts that conform to the schema. spoilt: the parts that do not."""
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
    """Yield a problem for each range that overlaps an earlier one, or leaves the port range."""
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
