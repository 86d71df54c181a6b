"""Validation of plan files: the plan, or all its problems at once.

Three passes: the strict YAML reader, the schema, and the rules of this module, which a schema cannot express. The rules
leave out rows that the schema refused. Rows that are not sorted are a problem and are not sorted here: the file in Git
must be the bytes that `render` writes, or every later diff is noise.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from nplconf.addresses import address_fault, misleading, network_fault
from nplconf.files import schema
from nplconf.files.strict_yaml import Document, Path, Problem
from nplconf.files.strict_yaml import load as read
from nplconf.model import Family, Plan, PodPort, PortMapping, PortRange, RuleKey, Via
from nplconf.plan.document import from_data, mapping_from_data

Fault = tuple[Path, str, str]
"""(path in the document, rule, message) of a problem."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A mapping that conforms to the schema. path: spec.mappings[i]; line: of the file."""

    path: Path
    line: int
    mapping: PortMapping


def validate(text: str, file: str) -> tuple[Problem, ...]:
    """Return all problems of a plan. file: its name, for problems."""
    return load(text, file)[1]


def load(text: str, file: str) -> tuple[Plan | None, tuple[Problem, ...]]:
    """Return the plan if it has no problem, else None, and its problems in the order of the file."""
    document = read(text, source=file, judge=schema.judge("plan"))
    problems = schema.problems(document, "plan")
    if not schema.cut(problems):
        spoilt = frozenset(found[1] for path in schema.unfit(document, problems) if (found := _PART.match(path)))
        faults = _faults(document, spoilt)
        problems = tuple(sorted({*problems, *(document.problem(*fault) for fault in faults)}))
    return (None if problems else from_data(document.value)), problems


_PART = re.compile(r"spec\.(mappings\[\d+\]|\w+)")
"""The part of a plan that a path is in: one row, or another key of spec."""


# --- the rules -------------------------------------------------------------------------------------------------------


def _faults(document: Document, spoilt: frozenset[str]) -> Iterable[Fault]:
    """Yield the problems in the parts that conform to the schema. spoilt: the others, as `_PART` names them."""
    spec = document.value.get("spec") if isinstance(document.value, dict) else None
    if not isinstance(spec, dict):
        return ()
    rows = _rows(document, spec.get("mappings"), spoilt)
    ports = None if "portRange" in spoilt else PortRange(**spec["portRange"])
    addresses: dict[Family, str] | None = None if "nodeIPs" in spoilt else spec["nodeIPs"]
    return _rules(rows, ports, addresses)


def sound(plan: Plan) -> bool:
    """Return whether a plan that conforms to the schema breaks none of the rules."""
    rows = [_Row((), 0, mapping) for mapping in plan.mappings]
    return next(iter(_rules(rows, plan.port_range, plan.node_ips)), None) is None


def _rules(rows: list[_Row], ports: PortRange | None, addresses: Mapping[Family, str] | None) -> Iterable[Fault]:
    return chain(
        _port_range(ports),
        _node_ips(addresses or {}),
        *(_row(row, ports, addresses) for row in rows),
        *(_clashes(rows, one) for one in _ONE),
        _doubles(rows),
        _order(rows),
    )


def _rows(document: Document, mappings: Any, spoilt: frozenset[str]) -> list[_Row]:
    """Return the rows that conform to the schema."""
    if not isinstance(mappings, list):
        return []
    paths: list[Path] = [("spec", "mappings", index) for index in range(len(mappings))]
    return [
        _Row(path, document.line(path), mapping_from_data(row))
        for index, (path, row) in enumerate(zip(paths, mappings, strict=True))
        if f"mappings[{index}]" not in spoilt
    ]


def _port_range(ports: PortRange | None) -> Iterator[Fault]:
    if ports is not None and ports.first > ports.last:
        yield ("spec", "portRange"), "port-range", f"first {ports.first} is above last {ports.last}"


def _node_ips(addresses: Mapping[Family, str]) -> Iterator[Fault]:
    for family, address in addresses.items():
        if fault := address_fault(address, family):
            yield ("spec", "nodeIPs", family), "address", f"{address} {fault}"


def _row(row: _Row, ports: PortRange | None, addresses: Mapping[Family, str] | None) -> Iterator[Fault]:
    """Yield the problems of one row by itself."""
    mapping, path = row.mapping, row.path
    for key, address in (("nodeIP", mapping.node_ip), ("podIP", mapping.pod_ip)):
        if fault := address_fault(address, mapping.family):
            yield (*path, key), "address", f"{address} {fault}"
    if address_fault(mapping.pod_ip, mapping.family) is None and (kind := misleading(mapping.pod_ip)):
        yield (*path, "podIP"), "address", f"{mapping.pod_ip} is a {kind} address"
    if mapping.via == "dnat":
        yield from _dnat(row, ports, addresses)
    if addresses is not None and mapping.pod_ip in addresses.values():
        yield (*path, "podIP"), "pod-ip-of-node", f"{mapping.pod_ip} is the node's own address"
    if any(left >= right for left, right in pairwise(mapping.services)):
        yield (*path, "services"), "services-sorted", "the Services must be sorted, each once"
    for index, network in enumerate(mapping.source_ranges):
        if fault := network_fault(network):
            yield (*path, "sourceRanges", index), "network", f"{network} {fault}"
        elif (":" in network) != (mapping.family == "IPv6"):
            yield (*path, "sourceRanges", index), "network", f"{network} is not an {mapping.family} network"


def _dnat(row: _Row, ports: PortRange | None, addresses: Mapping[Family, str] | None) -> Iterator[Fault]:
    """Yield the problems of a dnat row. A hostPort row is exempt: its port and address are the Pod's own choice."""
    mapping, path = row.mapping, row.path
    if ports is not None and ports.first <= ports.last and mapping.node_port not in ports:
        yield (*path, "nodePort"), "node-port-in-range", f"{mapping.node_port} is outside spec.portRange {ports}"
    if addresses is not None and mapping.node_ip != addresses.get(mapping.family):
        message = f"{mapping.node_ip} is not spec.nodeIPs.{mapping.family}"
        yield (*path, "nodeIP"), "node-ip-advertised", message


# --- what only one row, or the rows of only one Pod port, may have ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class _One:
    """A rule: rows with equal `of` have equal `has`.

    key: the key of the value that clashes. message: with {} for the first `has`.
    """

    rule: str
    key: str
    of: Callable[[PortMapping], Hashable]
    has: Callable[[PortMapping], Any]
    message: str
    host_ports: bool = True
    """Whether the rule applies to hostPort rows, too."""


_ONE = (
    _One(
        "one-number-one-pod-port",
        "nodePort",
        of=lambda mapping: mapping.node_port,
        has=lambda mapping: f"{mapping.pod.key} port {mapping.pod_port}",
        message="the number serves {}",
        host_ports=False,
    ),
    _One(
        "one-pod-port-one-number",
        "nodePort",
        of=lambda mapping: mapping.owner,
        has=lambda mapping: mapping.node_port,
        message="the Pod port has the number {}",
        host_ports=False,
    ),
    _One(
        "one-pod-one-uid",
        "pod",
        of=lambda mapping: mapping.pod.key,
        has=lambda mapping: mapping.pod.uid,
        message="the Pod has the UID {}",
    ),
    _One(
        "one-pod-one-ip",
        "podIP",
        of=lambda mapping: (mapping.pod, mapping.family),
        has=lambda mapping: mapping.pod_ip,
        message="the Pod has the address {}",
    ),
    _One(
        "one-ip-one-pod",
        "podIP",
        of=lambda mapping: mapping.pod_ip,
        has=lambda mapping: mapping.pod.key,
        message="the address is that of {}",
    ),
)


def _clashes(rows: Iterable[_Row], one: _One) -> Iterator[Fault]:
    first: dict[Hashable, tuple[Any, _Row]] = {}
    for row in rows:
        if row.mapping.via == "hostPort" and not one.host_ports:
            continue
        has = one.has(row.mapping)
        had, where = first.setdefault(one.of(row.mapping), (has, row))
        if had != has:
            message = one.message.format(had)
            yield (*row.path, one.key), one.rule, f"{message} in line {where.line} already"


_Holder = PodPort | Via | None
"""The owner of a key in the kernel: a Pod port, any row of this kind, or (None) any row."""


def _doubles(rows: Iterable[_Row]) -> Iterator[Fault]:
    """Yield rows with a key that another row has. Two Pods may have one hostPort, each on an address of its own."""
    seen: dict[tuple[RuleKey, _Holder], _Row] = {}
    for row in rows:
        key, owner, via = row.mapping.key, row.mapping.owner, row.mapping.via
        mine: tuple[_Holder, ...] = (None, via, owner)
        theirs: tuple[_Holder, ...] = (owner, "dnat") if via == "hostPort" else (None,)
        if other := next((seen[key, their] for their in theirs if (key, their) in seen), None):
            message = f"{key.protocol}/{key.node_port} of {key.family} is in line {other.line} already"
            yield row.path, "duplicate", message
        for place in mine:
            seen.setdefault((key, place), row)


def _order(rows: Iterable[_Row]) -> Iterator[Fault]:
    for before, row in pairwise(rows):
        if before.mapping.key > row.mapping.key:
            message = "rows are sorted by nodePort, ipFamily, protocol: this one belongs further up"
            yield row.path, "sorted", message
