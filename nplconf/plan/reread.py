"""The fast reader for plan files that are byte for byte what `dump` writes: no YAML parser, no schema.

Nearly every plan that is read is such a file: the previous plan of a render, the reviewed plan of a node. 30 rows take
1.4 ms here and 26 ms with `validate.load` on the same busy machine. For 5,000 nodes that is seconds instead of minutes.
Any other file is left to `validate.load`, which lists its problems.
"""

import re

from nplconf.model import Family, Plan, PodRef, PortMapping, PortRange, Skipped
from nplconf.plan.document import API_VERSION, KIND, SCHEMA_URL, dump

_NUMBER = r"[1-9][0-9]{0,4}"
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"
_UID = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
_REASONS = (
    "named-port-unresolved",
    "protocol-unsupported",
    "host-network",
    "pod-ip-(?:missing|invalid|shared)",
    "node-ip-missing",
    "range-full",
    "namespace-share",
    "terminating",
    "and-more",
    "policy",
    "pin-taken",
    "name-invalid",
    "service-type",
)
_PLAIN = r"[ !#-\[\]-~]"
"""Printable ASCII that needs no escape in double quotes."""


def _text(name: str, pattern: str) -> str:
    """Return the pattern of a scalar, quoted or not. Dumping the plan again shows which of the two is right."""
    return rf'"?(?P<{name}>{pattern})"?'


_HEAD = re.compile(
    re.escape(f"# yaml-language-server: $schema={SCHEMA_URL}\napiVersion: {API_VERSION}\nkind: {KIND}\nmetadata:\n")
    + rf"  node: {_text('node', _NAME)}\n(?:  cluster: {_text('cluster', _UID)}\n)?spec:\n"
    r"  nodeIPs: \{(?P<ips>[^\n]*)\}\n"
    rf"  portRange: \{{first: (?P<first>{_NUMBER}), last: (?P<last>{_NUMBER})\}}\n"
    r"  mappings:(?: \[\])?\n"
)
_ADDRESS = re.compile(r'(IPv4|IPv6): "?([0-9a-f.:]+)"?')
_ROW = re.compile(
    rf"    - nodePort: (?P<number>{_NUMBER})\n"
    r"      protocol: (?P<protocol>tcp|udp|sctp)\n"
    r"      ipFamily: (?P<family>IPv4|IPv6)\n"
    rf"      nodeIP: {_text('node_ip', '[0-9a-f.:]+')}\n"
    rf"      pod: \{{namespace: {_text('namespace', _LABEL)},"
    rf" name: {_text('name', _NAME)}, uid: {_text('uid', _UID)}\}}\n"
    rf"      podIP: {_text('pod_ip', '[0-9a-f.:]+')}\n"
    rf"      podPort: (?P<pod_port>{_NUMBER})\n"
    r"      services: \[(?P<services>[^\n]*)\]\n"
    r"      via: (?P<via>dnat|hostPort)\n"
    r"(?:      sourceRanges: \[(?P<sources>[^\n]*)\]\n)?"
)
_WORD = re.compile(rf'"?({_LABEL}/{_LABEL}|[0-9a-f.:]+/[0-9]{{1,3}})"?')
_SKIPPED = re.compile(
    rf'    - \{{pod: (?:null|"?(?P<pod>{_LABEL}/{_NAME})"?),'
    rf' podPort: (?P<pod_port>[0-9]{{1,5}}|"{_PLAIN}+"|[a-zA-Z][-a-zA-Z]*),'
    rf" protocol: {_text('protocol', '[a-z]*')}, service: {_text('service', f'(?:{_LABEL}/{_LABEL})?')},"
    rf" reason: (?P<reason>{'|'.join(_REASONS)}),"
    rf'(?: rule: "?(?P<rule>spec{_PLAIN}+?)"?,)?(?: more: (?P<more>[1-9][0-9]{{0,9}}),)?'
    rf' message: "(?P<message>{_PLAIN}*)"\}}\n'
)


def reread(text: str) -> Plan | None:
    """Return the plan of a text that `dump` wrote, None for any other text and for a plan with a problem."""
    head = _HEAD.match(text)
    if head is None:
        return None
    at = head.end()
    rows: list[PortMapping] = []
    while found := _ROW.match(text, at):
        rows.append(_mapping(found))
        at = found.end()
    skipped: list[Skipped] = []
    at += next((len(line) for line in ("  skipped:\n", "  skipped: []\n") if text.startswith(line, at)), 0)
    while found := _SKIPPED.match(text, at):
        skipped.append(_skipped(found))
        at = found.end()
    ips: dict[Family, str] = dict(_ADDRESS.findall(head["ips"]))
    ports = PortRange(int(head["first"]), int(head["last"]))
    plan = Plan(head["node"], head["cluster"], ips, ports, tuple(rows), tuple(skipped))
    return plan if at == len(text) and dump(plan) == text and _sound(plan) else None


def _sound(plan: Plan) -> bool:
    from nplconf.plan import validate

    small = (plan.port_range.last, *(n for m in plan.mappings for n in (m.node_port, m.pod_port)))
    names = (plan.node, *(m.pod.name for m in plan.mappings))
    return max(small) < 65536 and max(map(len, names)) < 254 and validate.sound(plan)


def _mapping(found: re.Match[str]) -> PortMapping:
    return PortMapping(
        node_port=int(found["number"]),
        protocol=found["protocol"],  # type: ignore[arg-type]
        family=found["family"],  # type: ignore[arg-type]
        node_ip=found["node_ip"],
        pod=PodRef(found["namespace"], found["name"], found["uid"]),
        pod_ip=found["pod_ip"],
        pod_port=int(found["pod_port"]),
        services=tuple(_WORD.findall(found["services"])),
        via=found["via"],  # type: ignore[arg-type]
        source_ranges=tuple(_WORD.findall(found["sources"] or "")),
    )


def _skipped(found: re.Match[str]) -> Skipped:
    port = found["pod_port"].strip('"')
    return Skipped(
        pod=found["pod"],
        pod_port=int(port) if found["pod_port"].isdigit() else port,
        protocol=found["protocol"],
        service=found["service"],
        reason=found["reason"],
        message=found["message"],
        rule=found["rule"],
        more=int(found["more"] or 0),
    )
