"""The conditions after every run, checked in kernel, sockets and annotations without any code of nplconf."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from worlds import ANNOTATION, ENABLED

Raw = dict[str, Any]
_NFT = re.compile(r"(\d+)(?: comment \"[^\"]*\")? : ([0-9.]+) \. (\d+)")


class Rule(NamedTuple):
    """A port of the node that the kernel forwards."""

    protocol: str
    port: int
    ip: str
    pod_port: int


def rules(listing: Iterable[str]) -> set[Rule]:
    """The rules in a listing of iptables-save, or of `nft list table inet nplconf`."""
    found, kind = set(), ""
    for line in listing:
        if " -j DNAT " in line:
            protocol = re.search(r"-p (\w+)", line)[1]  # type: ignore[index]
            port = int(re.search(r"--dport (\d+)", line)[1])  # type: ignore[index]
            ip, _, pod_port = re.search(r"--to-destination (\S+)", line)[1].partition(":")  # type: ignore[index]
            found.add(Rule(protocol, port, ip, int(pod_port)))
        elif named := re.search(r"map (tcp|udp)-ipv4(?:-restricted)? \{", line):
            kind = named[1]
        elif kind:
            found |= {Rule(kind, int(port), ip, int(at)) for port, ip, at in _NFT.findall(line)}
            kind = "" if line.strip() == "}" else kind
    return found


def asked(objects: Iterable[Raw]) -> set[tuple[str, str, int]]:
    """(protocol, Pod address, Pod port) of all that well-formed Services ask for of Pods that run."""
    objects = list(objects)
    pods = [raw for raw in objects if raw["kind"] == "Pod" and raw["status"].get("phase") == "Running"]
    found = set()
    for service in objects:
        annotations = service["metadata"].get("annotations", {})
        if service["kind"] != "Service" or annotations.get(ENABLED) != "true":
            continue
        ports = service["spec"].get("ports")
        for port in ports if isinstance(ports, list) else []:
            if isinstance(port.get("targetPort"), int):
                chosen = (pod for pod in pods if _selects(service, pod))
                found |= {(port["protocol"].lower(), pod["status"]["podIP"], port["targetPort"]) for pod in chosen}
    return found


def _selects(service: Raw, pod: Raw) -> bool:
    labels = pod["metadata"].get("labels", {})
    same = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same and all(labels.get(name) == value for name, value in service["spec"]["selector"].items())


def published(objects: Iterable[Raw]) -> set[Rule]:
    """The rules that the annotations of Pods that run tell load balancers of."""
    found = set()
    for raw in objects:
        if raw["kind"] == "Pod" and raw["status"].get("phase") == "Running":
            for entry in json.loads(raw["metadata"].get("annotations", {}).get(ANNOTATION) or "[]"):
                for protocol in entry.get("protocols", [entry["protocol"]]):
                    found.add(Rule(protocol, entry["nodePort"], raw["status"]["podIP"], entry["podPort"]))
    return found


def namespaces(objects: Iterable[Raw]) -> dict[str, str]:
    """Pod address -> namespace, of Pods that run."""
    running = (raw for raw in objects if raw["kind"] == "Pod" and raw["status"].get("phase") == "Running")
    return {raw["status"]["podIP"]: raw["metadata"]["namespace"] for raw in running}


def faults(objects: list[Raw], live: set[Rule], unheld: set[int]) -> list[str]:
    """What is wrong after a run that ended well. unheld: ports of the range that a program could bind."""
    found = []
    ways = {(rule.protocol, rule.ip, rule.pod_port) for rule in live}
    if wrong := ways - asked(objects):
        found.append(f"rules that nothing asks for: {sorted(wrong)}")
    if missing := published(objects) - live:
        found.append(f"published without a rule: {sorted(missing)}")
    if silent := live - published(objects):
        found.append(f"rules that no annotation names: {sorted(silent)}")
    if open_ports := {rule.port for rule in live} & unheld:
        found.append(f"ports with a rule that nobody holds: {sorted(open_ports)}")
    owners: dict[int, set[tuple[str, int]]] = {}
    for rule in live:
        owners.setdefault(rule.port, set()).add((rule.ip, rule.pod_port))
    if shared := {port for port, places in owners.items() if len(places) > 1}:
        found.append(f"ports that lead to two places: {sorted(shared)}")
    return found
