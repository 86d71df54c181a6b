"""Conversion of raw Kubernetes objects, as JSON gives them, to values of the model.

Tenants write most of these strings, and a file may hold anything. Each field therefore defines what a malformed value
means, always so that less is served: a broken label matches nothing, a broken selector selects nothing, a broken
address is refused by name later. Only an object without a name is left out. Defaults are those of the API server.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nplconf.desired.names import identifier
from nplconf.files.strict_yaml import shown
from nplconf.model import (
    ANNOTATION,
    ENABLED,
    FAMILIES,
    GATE,
    ClusterState,
    Condition,
    ContainerPort,
    Family,
    Node,
    Pod,
    PodRef,
    Service,
    ServicePort,
)

UNSET_UID = "unset"
"""The UID of a Pod in a manifest that no API server has seen. Such a Pod is identified by its name alone."""

MALFORMED = "(malformed)"
"""The value of a field with a wrong type. The parentheses make it no valid name, type or protocol."""


def state(objects: Iterable[tuple[str, Mapping[str, Any]]], node: str | None) -> ClusterState:
    """Return the snapshot of (kind, raw object) pairs, for one node if it is named. Of two equal keys the last counts.

    Where the cluster does not have the node, the snapshot has the other Nodes: the error names the closest ones.
    """
    nodes: dict[str, Node] = {}
    pods: dict[PodRef, Pod] = {}
    services: dict[str, Service] = {}
    elsewhere: dict[str, str] = {}
    for kind, raw in objects:
        if kind == "Pod":
            if a_pod := read_pod(raw, node):
                pods[a_pod.ref] = a_pod
            elif node is not None:
                elsewhere |= _elsewhere(raw, node)
        elif kind == "Service" and (a_service := read_service(raw)):
            services[a_service.key] = a_service
        elif kind == "Node" and (a_node := read_node(raw)):
            nodes[a_node.name] = a_node
    mine = (nodes[node],) if node in nodes else tuple(nodes.values())
    found = (mine, tuple(pods.values()), tuple(services.values()))
    return ClusterState(*found, identity_of(services.get("default/kubernetes")), elsewhere)


def read_node(raw: Mapping[str, Any]) -> Node | None:
    """Return the Node, None if it has no name."""
    metadata = _mapping(raw.get("metadata"))
    name = _text(metadata.get("name"))
    if not name:
        return None
    addresses = (_mapping(a) for a in _list(_mapping(raw.get("status")).get("addresses")))
    pairs = tuple((_text(a.get("type")), _text(a.get("address"))) for a in addresses)
    return Node(name, _text(metadata.get("uid")), pairs, windows=_runs_windows(raw, metadata))


def _runs_windows(raw: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Return whether status.nodeInfo, or the label that the kubelet sets from it, says Windows."""
    info = _mapping(_mapping(raw.get("status")).get("nodeInfo"))
    label = _mapping(metadata.get("labels")).get("kubernetes.io/os")
    return "windows" in (_text(info.get("operatingSystem")).lower(), label)


def read_pod(raw: Mapping[str, Any], node: str | None = None) -> Pod | None:
    """Return the Pod, None if it has no name or is on another node than the given one."""
    metadata, spec, status = _mapping(raw.get("metadata")), _mapping(raw.get("spec")), _mapping(raw.get("status"))
    name, where = _text(metadata.get("name")), _text(spec.get("nodeName"))
    if not name or (node is not None and where != node):
        return None
    host_network = spec.get("hostNetwork") is True
    annotations = _mapping(metadata.get("annotations"))
    return Pod(
        ref=PodRef(_namespace(metadata), name, uid_of(metadata)),
        node=where,
        labels=_strings(metadata.get("labels")),
        phase=_text(status.get("phase", "Pending")),
        host_network=host_network,
        ips=_pod_ips(status),
        ports=tuple(_container_ports(spec, host_network=host_network)),
        # a value that is no string still is our key on the Pod: "" equals no annotation of ours, so it is replaced
        annotation=_text(annotations[ANNOTATION]) if ANNOTATION in annotations else None,
        terminating=bool(metadata.get("deletionTimestamp")),
        containers_ended=_containers_ended(status),
        containers_ready=_condition(status, "ContainersReady").status == "True",
        gated=_has_gate(spec),
        condition=_condition(status, GATE) if spec.get("readinessGates") else None,
        ready=node is None and _is_true(status, "Ready"),
        version=_text(metadata.get("resourceVersion")),
    )


def read_service(raw: Mapping[str, Any]) -> Service | None:
    """Return the Service, None if it has no name."""
    metadata, spec = _mapping(raw.get("metadata")), _mapping(raw.get("spec"))
    name = _text(metadata.get("name"))
    if not name:
        return None
    annotations = _mapping(metadata.get("annotations"))
    return Service(
        namespace=_namespace(metadata),
        name=name,
        uid=_text(metadata.get("uid")),
        type=_given(spec.get("type"), "ClusterIP"),
        selector=_selector(spec.get("selector")),
        families=_families(spec),
        ports=tuple(_service_port(p) for p in _list(spec.get("ports")) if isinstance(p, dict)),
        enabled=annotations.get(ENABLED) == "true",
        enabled_value=shown(annotations[ENABLED]) if ENABLED in annotations else None,
        health_check_node_port=_port(spec.get("healthCheckNodePort")),
        external_ips=tuple(filter(None, map(_text, _list(spec.get("externalIPs"))))) if _is_proxied(spec) else (),
        ingress_ips=_ingress_ips(_mapping(raw.get("status"))) if _is_proxied(spec) else (),
    )


def _is_proxied(spec: Mapping[str, Any]) -> bool:
    """Return whether kube-proxy makes rules for a Service: not for a headless one, nor for an ExternalName."""
    return spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName"


def _ingress_ips(status: Mapping[str, Any]) -> tuple[str, ...]:
    entries = _list(_mapping(status.get("loadBalancer")).get("ingress"))
    return tuple(filter(None, (_text(_mapping(entry).get("ip")) for entry in entries)))


def uid_of(metadata: Mapping[str, Any]) -> str:
    """Return metadata.uid, `UNSET_UID` if it is missing, "" (which is never valid) if it is no string."""
    uid = metadata.get("uid")
    return UNSET_UID if uid is None else _text(uid)


def _elsewhere(raw: Mapping[str, Any], node: str) -> dict[str, str]:
    """Return namespace/name -> node of a Pod that runs, or will run, on another node."""
    metadata, where = _mapping(raw.get("metadata")), _text(_mapping(raw.get("spec")).get("nodeName"))
    name, phase = _text(metadata.get("name")), _mapping(raw.get("status")).get("phase")
    if not name or where == node or phase in ("Succeeded", "Failed"):
        return {}
    return {f"{_namespace(metadata)}/{name}": where}


def identity_of(kubernetes: object) -> str | None:
    """Return the cluster's identity: the UID of this Service, if it is one that an API server gives."""
    return kubernetes.uid if isinstance(kubernetes, Service) and identifier(kubernetes.uid) else None


def _namespace(metadata: Mapping[str, Any]) -> str:
    namespace = metadata.get("namespace")
    return "default" if namespace in (None, "") else _text(namespace)


def _pod_ips(status: Mapping[str, Any]) -> tuple[str, ...]:
    """Return status.podIPs, else podIP. An entry that is no string becomes "", an invalid address."""
    if entries := _list(status.get("podIPs")):
        return tuple([_text(_mapping(entry).get("ip")) for entry in entries])
    ip = status.get("podIP")
    return () if ip in (None, "") else (_text(ip),)


def _containers_ended(status: Mapping[str, Any]) -> bool:
    """Return whether all containers have terminated and no init container runs, as the kubelet reports."""
    states = [_mapping(_mapping(c).get("state")) for c in _list(status.get("containerStatuses"))]
    if not states:
        return False
    inits = [_mapping(_mapping(c).get("state")) for c in _list(status.get("initContainerStatuses"))]
    return all("terminated" in s for s in states) and not any("running" in s for s in inits)


def _is_true(status: Mapping[str, Any], condition: str) -> bool:
    """Return whether a Pod has this condition with status True."""
    found = (_mapping(c) for c in _list(status.get("conditions")))
    return any(c.get("type") == condition and c.get("status") == "True" for c in found)


def _condition(status: Mapping[str, Any], kind: str) -> Condition:
    """Return a condition; one without a status where the Pod does not have it."""
    for raw in map(_mapping, _list(status.get("conditions"))):
        if raw.get("type") == kind:
            return Condition(_text(raw.get("status")), _text(raw.get("reason")), _text(raw.get("message")))
    return _NO_CONDITION


_NO_CONDITION = Condition("")


def _has_gate(spec: Mapping[str, Any]) -> bool:
    gates = _list(spec.get("readinessGates"))
    return bool(gates) and any(_mapping(gate).get("conditionType") == GATE for gate in gates)


def _container_ports(spec: Mapping[str, Any], *, host_network: bool) -> Iterable[ContainerPort]:
    """Yield the ports of containers, then of sidecars, in the order of the manifest."""
    containers = [(_mapping(c), False) for c in _list(spec.get("containers"))]
    if inits := _list(spec.get("initContainers")):
        containers += [(c, True) for c in map(_mapping, inits) if c.get("restartPolicy") == "Always"]
    for container, sidecar in containers:
        for raw in map(_mapping, _list(container.get("ports"))):
            if number := _port(raw.get("containerPort")):
                yield ContainerPort(
                    container_port=number,
                    name=_text(raw.get("name")),
                    protocol=_given(raw.get("protocol"), "TCP"),
                    host_port=_port(raw.get("hostPort")) or (number if host_network else 0),
                    host_ip=_given(raw.get("hostIP"), ""),
                    sidecar=sidecar,
                )


def _service_port(raw: Mapping[str, Any]) -> ServicePort:
    port = _port(raw.get("port"))
    target = _target(raw.get("targetPort"), port)
    return ServicePort(port, target, _given(raw.get("protocol"), "TCP"), _port(raw.get("nodePort")))


def _target(raw: object, port: int) -> int | str:
    """Return targetPort: a number, a name, or a text that no port has, which is reported as unresolved."""
    if raw is None or raw == "" or (type(raw) is int and raw == 0):
        return port or MALFORMED
    if isinstance(raw, str):
        return raw
    if isinstance(raw, int) and not isinstance(raw, bool):
        return _port(raw) or str(raw)
    return MALFORMED


def _families(spec: Mapping[str, Any]) -> tuple[Family, ...]:
    """Return spec.ipFamilies, else the families of clusterIPs, else IPv4; RequireDualStack always has both."""
    asked = [f for f in FAMILIES if f in _list(spec.get("ipFamilies"))] or _families_of_addresses(spec)
    if spec.get("ipFamilyPolicy") == "RequireDualStack":
        return FAMILIES
    return tuple(asked) or FAMILIES[:1]


def _families_of_addresses(spec: Mapping[str, Any]) -> list[Family]:
    addresses = {a for a in [*_list(spec.get("clusterIPs")), spec.get("clusterIP")] if isinstance(a, str)}
    found: list[Family] = []
    if any("." in a and ":" not in a for a in addresses):
        found.append("IPv4")
    if any(":" in a for a in addresses):
        found.append("IPv6")
    return found


def _selector(raw: object) -> Mapping[str, str]:
    """Return the selector, {} if one pair is malformed: without that pair it would select more Pods than meant."""
    pairs = _mapping(raw)
    strings = _strings(pairs)
    return strings if len(strings) == len(pairs) else {}


def _strings(raw: object) -> dict[str, str]:
    return {k: v for k, v in _mapping(raw).items() if isinstance(k, str) and isinstance(v, str)}


def _mapping(raw: object) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _list(raw: object) -> list[Any]:
    return raw if isinstance(raw, list) else []


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""


def _given(raw: object, default: str) -> str:
    """Return a string, its default if it is missing, MALFORMED if it is none."""
    if raw is None or raw == "":
        return default
    return raw if isinstance(raw, str) else MALFORMED


def _port(raw: object) -> int:
    """Return a port number, 0 for any other value."""
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and 0 < raw < 65536 else 0
