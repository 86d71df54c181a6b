"""Plans as text and as plain data, and back.

This module writes the text itself instead of using PyYAML. The same plan always gives the same bytes, and these are
ASCII only, so that no name from a cluster can reorder or hide text in a review. A string that some YAML reader (1.1 or
1.2) would not take for a string is quoted. Every run uses `to_data` and `from_data` for its state file, so they import
no YAML.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nplconf.model import Family, Plan, PodRef, PortMapping, PortRange, Skipped

API_VERSION = "nplconf.io/v1alpha1"
KIND = "NodePlan"
SCHEMA_URL = "https://nplconf.io/schemas/v1alpha1/plan.schema.json"
"""The `$id` of schemas/plan.schema.json, by which editors find it."""

_WORD = re.compile(
    r"[A-Za-z][A-Za-z0-9._/-]*"  # names, namespace/name
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}"  # IPv4; IPv6 is quoted, as 1:2:3 is a number in base 60 to some
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # UIDs
)
_RESERVED = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))
_SURROGATE = re.compile("[\ud800-\udfff]")


# --- plain data ------------------------------------------------------------------------------------------------------


def mapping_to_data(mapping: PortMapping) -> dict[str, Any]:
    """Return a mapping as the JSON object that all commands print. sourceRanges is there only if a policy set it."""
    data: dict[str, Any] = {
        "nodePort": mapping.node_port,
        "protocol": mapping.protocol,
        "ipFamily": mapping.family,
        "nodeIP": mapping.node_ip,
        "podIP": mapping.pod_ip,
        "podPort": mapping.pod_port,
        "pod": {"namespace": mapping.pod.namespace, "name": mapping.pod.name, "uid": mapping.pod.uid},
        "services": list(mapping.services),
        "via": mapping.via,
    }
    if mapping.source_ranges:
        data["sourceRanges"] = list(mapping.source_ranges)
    return data


def mapping_from_data(data: Mapping[str, Any]) -> PortMapping:
    """Return the mapping of data that was checked by the schema or by the checksum of the state file."""
    pod = data["pod"]
    return PortMapping(
        node_port=data["nodePort"],
        protocol=data["protocol"],
        family=data["ipFamily"],
        node_ip=data["nodeIP"],
        pod=PodRef(pod["namespace"], pod["name"], pod["uid"]),
        pod_ip=data["podIP"],
        pod_port=data["podPort"],
        services=tuple(data["services"]),
        via=data["via"],
        source_ranges=tuple(data.get("sourceRanges", ())),
    )


def skipped_to_data(skipped: Skipped) -> dict[str, Any]:
    """Return a skipped row as JSON object. rule is there only if a policy decided, more only above 0."""
    data: dict[str, Any] = {
        "pod": skipped.pod,
        "podPort": skipped.pod_port,
        "protocol": skipped.protocol,
        "service": skipped.service,
        "reason": skipped.reason,
    }
    if skipped.rule is not None:
        data["rule"] = skipped.rule
    if skipped.more:
        data["more"] = skipped.more
    data["message"] = skipped.message
    return data


def skipped_from_data(data: Mapping[str, Any]) -> Skipped:
    """Return the skipped row of checked data."""
    return Skipped(
        pod=data["pod"],
        pod_port=data["podPort"],
        protocol=data["protocol"],
        service=data["service"],
        reason=data["reason"],
        message=data["message"],
        rule=data.get("rule"),
        more=data.get("more", 0),
    )


def to_data(plan: Plan) -> dict[str, Any]:
    """Return the whole document as JSON-ready data, keys in the order of the file."""
    metadata = {"node": plan.node}
    if plan.cluster is not None:
        metadata["cluster"] = plan.cluster
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata,
        "spec": {
            "nodeIPs": dict(_by_family(plan.node_ips)),
            "portRange": {"first": plan.port_range.first, "last": plan.port_range.last},
            "mappings": [mapping_to_data(mapping) for mapping in plan.mappings],
            "skipped": [skipped_to_data(skipped) for skipped in plan.skipped],
        },
    }


def from_data(data: Mapping[str, Any]) -> Plan:
    """Return the plan of checked data."""
    metadata, spec = data["metadata"], data["spec"]
    return Plan(
        node=metadata["node"],
        cluster=metadata.get("cluster"),
        node_ips=dict(_by_family(spec["nodeIPs"])),
        port_range=PortRange(spec["portRange"]["first"], spec["portRange"]["last"]),
        mappings=tuple(map(mapping_from_data, spec["mappings"])),
        skipped=tuple(map(skipped_from_data, spec["skipped"])),
    )


def _by_family(addresses: Mapping[Family, str]) -> Iterable[tuple[Family, str]]:
    """Return the addresses with IPv4 first."""
    return sorted(addresses.items())


# --- text ------------------------------------------------------------------------------------------------------------


def dump(plan: Plan) -> str:
    """Return the text of the plan file. Lone surrogates, which UTF-8 cannot encode, become U+FFFD."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    yield f"# yaml-language-server: $schema={SCHEMA_URL}"
    yield f"apiVersion: {API_VERSION}"
    yield f"kind: {KIND}"
    yield "metadata:"
    yield f"  node: {_text(plan.node)}"
    if plan.cluster is not None:
        yield f"  cluster: {_text(plan.cluster)}"
    yield "spec:"
    yield f"  nodeIPs: {_flow(dict(_by_family(plan.node_ips)))}"
    yield f"  portRange: {{first: {plan.port_range.first}, last: {plan.port_range.last}}}"
    yield "  mappings:" if plan.mappings else "  mappings: []"
    for mapping in plan.mappings:
        yield from _mapping_lines(mapping)
    yield "  skipped:" if plan.skipped else "  skipped: []"
    for skipped in plan.skipped:
        yield f"    - {_flow(skipped_to_data(skipped))}"


def _mapping_lines(mapping: PortMapping) -> Iterator[str]:
    pod = mapping.pod
    yield f"    - nodePort: {mapping.node_port}"
    yield f"      protocol: {mapping.protocol}"
    yield f"      ipFamily: {mapping.family}"
    yield f"      nodeIP: {_text(mapping.node_ip)}"
    yield f"      pod: {{namespace: {_text(pod.namespace)}, name: {_text(pod.name)}, uid: {_text(pod.uid)}}}"
    yield f"      podIP: {_text(mapping.pod_ip)}"
    yield f"      podPort: {mapping.pod_port}"
    yield f"      services: {_list(mapping.services)}"
    yield f"      via: {mapping.via}"
    if mapping.source_ranges:
        yield f"      sourceRanges: {_list(mapping.source_ranges)}"


def _flow(data: Mapping[Any, Any]) -> str:
    """Return a flow mapping of scalars."""
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in data.items()) + "}"


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"


def _scalar(value: int | str | None) -> str:
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) else _text(value)


def _text(value: str) -> str:
    """Return a string as YAML scalar: unquoted if every reader takes it for a string, else in double quotes, ASCII."""
    if _WORD.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    quoted = json.dumps(_SURROGATE.sub("\ufffd", value), ensure_ascii=False).replace("\x7f", "\\x7f")
    # JSON would write characters beyond U+FFFF as surrogate pairs, which YAML does not have. Python's escapes \xNN,
    # \uNNNN and \UNNNNNNNN are YAML's, too.
    return quoted.encode("ascii", "backslashreplace").decode("ascii")
