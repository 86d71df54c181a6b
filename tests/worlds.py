"""Values of the model, and raw Kubernetes objects as kubectl prints them.

Every argument has a default, so that a test names only what its claim is about.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nplconf.desired.ports import Previous
from nplconf.model import (
    ANNOTATION,
    ENABLED,
    ClusterState,
    ContainerPort,
    Family,
    Node,
    Plan,
    Pod,
    PodRef,
    PortMapping,
    PortRange,
    Protocol,
    Service,
    ServicePort,
    Via,
)

NODE = "worker-1"
RANGE = PortRange(61000, 62000)
NODE_IPS: dict[Family, str] = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
ADDRESSES = (
    ("InternalIP", "10.0.0.1"),
    ("ExternalIP", "10.10.10.10"),
    ("InternalIP", "fd00::1"),
    ("ExternalIP", "fd00:10::10"),
    ("Hostname", NODE),
)
BOTH: tuple[Family, ...] = ("IPv4", "IPv6")


# --- values ----------------------------------------------------------------------------------------------------------


def node(name: str = NODE, addresses: Sequence[tuple[str, str]] = ADDRESSES) -> Node:
    return Node(name, f"uid-{name}", tuple(addresses))


def ref(name: str = "web-0", namespace: str = "shop", uid: str | None = None) -> PodRef:
    return PodRef(namespace, name, uid if uid is not None else f"uid-{name}")


def pod(
    name: str = "web-0",
    ips: Sequence[str] = ("10.244.3.17",),
    *,
    namespace: str = "shop",
    uid: str | None = None,
    on: str = NODE,
    labels: Mapping[str, str] | None = None,
    phase: str = "Running",
    host_network: bool = False,
    ports: Sequence[ContainerPort] = (),
    annotation: str | None = None,
    terminating: bool = False,
    containers_ended: bool = False,
    containers_ready: bool = False,
    gated: bool = False,
) -> Pod:
    return Pod(
        ref=ref(name, namespace, uid),
        node=on,
        labels={"app": "web"} if labels is None else labels,
        phase=phase,
        host_network=host_network,
        ips=tuple(ips),
        ports=tuple(ports),
        annotation=annotation,
        terminating=terminating,
        containers_ended=containers_ended,
        containers_ready=containers_ready,
        gated=gated,
    )


def service(
    name: str = "web",
    ports: Sequence[tuple[int | str, str]] = ((8080, "TCP"),),
    *,
    namespace: str = "shop",
    selector: Mapping[str, str] | None = None,
    type: str = "ClusterIP",  # noqa: A002 - as the field is called
    families: Sequence[str] = ("IPv4",),
    enabled: bool = True,
    node_port: int = 0,
    health_check_node_port: int = 0,
    port: int = 80,
    external_ips: Sequence[str] = (),
    ingress_ips: Sequence[str] = (),
) -> Service:
    """ports: (target, protocol). port: the Service's own number for the first of them."""
    return Service(
        namespace=namespace,
        name=name,
        uid=f"uid-{name}",
        type=type,
        selector={"app": "web"} if selector is None else selector,
        families=tuple(families),
        ports=tuple(ServicePort(port + i, target, protocol, node_port) for i, (target, protocol) in enumerate(ports)),
        enabled=enabled,
        enabled_value='"true"' if enabled else None,
        health_check_node_port=health_check_node_port,
        external_ips=tuple(external_ips),
        ingress_ips=tuple(ingress_ips),
    )


def cluster(*objects: Node | Pod | Service, identity: str | None = "uid-kubernetes") -> ClusterState:
    return ClusterState(
        nodes=tuple(o for o in objects if isinstance(o, Node)),
        pods=tuple(o for o in objects if isinstance(o, Pod)),
        services=tuple(o for o in objects if isinstance(o, Service)),
        identity=identity,
    )


def mapping(
    number: int = 61044,
    protocol: Protocol = "tcp",
    family: Family = "IPv4",
    *,
    pod: PodRef | None = None,
    pod_ip: str | None = None,
    pod_port: int = 8080,
    services: Sequence[str] = ("shop/web",),
    via: Via = "dnat",
) -> PortMapping:
    default_ip = "10.244.3.17" if family == "IPv4" else "fd00:244::17"
    return PortMapping(
        node_port=number,
        protocol=protocol,
        family=family,
        node_ip=NODE_IPS[family],
        pod=pod or ref(),
        pod_ip=pod_ip or default_ip,
        pod_port=pod_port,
        services=tuple(services),
        via=via,
    )


def plan(*mappings: PortMapping, node: str = NODE, port_range: PortRange = RANGE) -> Plan:
    rows = tuple(sorted(mappings, key=lambda m: m.key))
    return Plan(node=node, cluster="uid-kubernetes", node_ips=dict(NODE_IPS), port_range=port_range, mappings=rows)


def past(*plans: Plan, taken: Sequence[int] = ()) -> Previous:
    """Return what the allocation knows if these plans existed before, the most trusted first."""
    return Previous(tuple({m.owner: m.node_port for m in p.mappings} for p in plans), frozenset(taken))


# --- raw objects -----------------------------------------------------------------------------------------------------


def raw_node(name: str = NODE, addresses: Sequence[tuple[str, str]] = ADDRESSES) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "status": {"addresses": [{"type": kind, "address": address} for kind, address in addresses]},
    }


def raw_pod(
    name: str = "web-0",
    ips: Sequence[str] = ("10.244.3.17",),
    *,
    namespace: str = "shop",
    on: str = NODE,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    ports: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
    metadata["labels"] = {"app": "web"} if labels is None else dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    container: dict[str, Any] = {"name": "c", "image": "i"}
    if ports:
        container["ports"] = [dict(p) for p in ports]
    status: dict[str, Any] = {"phase": "Running"}
    if ips:
        status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    spec = {"nodeName": on, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def raw_service(
    name: str = "web",
    ports: Sequence[tuple[int, int | str, str]] = ((80, 8080, "TCP"),),
    *,
    namespace: str = "shop",
    enabled: bool = True,
) -> dict[str, Any]:
    """ports: (port, targetPort, protocol)."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
    if enabled:
        metadata["annotations"] = {ENABLED: "true"}
    rows = [{"port": port, "targetPort": target, "protocol": protocol} for port, target, protocol in ports]
    spec = {"type": "ClusterIP", "selector": {"app": "web"}, "ipFamilies": ["IPv4"], "ports": rows}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def raw_list(*objects: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": {"resourceVersion": ""}}


def raw_annotation(obj: Mapping[str, Any]) -> str | None:
    """Return nplconf's annotation of a raw Pod; None without the key."""
    value = (obj["metadata"].get("annotations") or {}).get(ANNOTATION)
    assert value is None or isinstance(value, str)
    return value


# --- files of raw objects --------------------------------------------------------------------------------------------


def write_objects(path: Path, *documents: Mapping[str, Any]) -> Path:
    """Write objects: as JSON (only the first document) for the name *.json, else as YAML in another program's style."""
    text = json.dumps(documents[0], indent=4) if path.suffix == ".json" else yaml.safe_dump_all(documents)
    path.write_text(text)
    return path


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The documents of a file, as another program reads them."""
    text = path.read_text()
    try:
        return [d for d in yaml.load_all(text, yaml.CSafeLoader) if d]  # ten times as fast
    except yaml.YAMLError:  # it refuses escaped surrogates, which YAML and JSON have
        return [d for d in yaml.safe_load_all(text) if d]


def annotations(path: Path) -> dict[str, str | None]:
    """Return nplconf's annotation of each Pod in a file, by the Pod's name."""
    objects = [o for d in read_objects(path) for o in (d["items"] if d["kind"] == "List" else [d])]
    return {o["metadata"]["name"]: raw_annotation(o) for o in objects if o["kind"] == "Pod"}


def kubeconfig(path: Path, user: Mapping[str, Any] | None, **cluster: Any) -> Path:
    """A kubeconfig file with one context; cluster: further fields of it."""
    target = {"server": "https://10.0.0.1:6443", **cluster}
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": target}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return path
