"""A cluster dump as kubectl prints it: as large as wanted, the same bytes for the same numbers.

python tests/bench/cluster_dump.py --nodes 5000 --pods 150000 --services 5000 >dump.json
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any, TextIO

NAMESPACES = 200
TEMPLATES = 50
"""Different Deployments of a namespace: what shares labels."""


def node(number: int) -> dict[str, Any]:
    """A Node with the parts that make real ones long: conditions and images."""
    address = f"10.{192 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
    images = [{"names": [f"registry.example/app-{i}@sha256:{i:064x}"], "sizeBytes": 100000000 + i} for i in range(10)]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{number}", "uid": uid("a", number), "labels": {"kubernetes.io/os": "linux"}},
        "spec": {"podCIDR": f"10.{number // 250 % 128}.{number % 250}.0/24"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": f"node-{number}"},
            ],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "images": images,
        },
    }


def pod(number: int, nodes: int) -> dict[str, Any]:
    """A Pod of two containers, as long as a real one."""
    template, host, place = number % (NAMESPACES * TEMPLATES), number % nodes, number // nodes
    namespace, app = f"team-{template % NAMESPACES}", f"app-{template // NAMESPACES}"
    name = f"{app}-{template:010x}-{number:05x}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "creationTimestamp": "2025-11-24T00:00:00Z",
            "generateName": f"{app}-{template:010x}-",
            "labels": {"app": app, "pod-template-hash": f"{template:010x}", "tier": "backend"},
            "name": name,
            "namespace": namespace,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{app}-{template:010x}"}],
            "resourceVersion": str(1000000 + number),
            "uid": uid("b", number),
        },
        "spec": {
            "containers": [_container("main", 8080), _container("sidecar", 15090)],
            "nodeName": f"node-{host}",
            "serviceAccountName": "default",
            "tolerations": [
                {"effect": "NoExecute", "key": f"node.kubernetes.io/{key}", "operator": "Exists"}
                for key in ("not-ready", "unreachable")
            ],
            "volumes": [{"name": f"volume-{i}", "configMap": {"name": f"config-{i}"}} for i in range(1)],
        },
        "status": {
            "conditions": [
                {"lastTransitionTime": "2025-11-24T00:00:00Z", "status": "True", "type": kind}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {"name": n, "ready": True, "imageID": f"sha256:{7:064x}"} for n in ("main", "sidecar")
            ],
            "phase": "Running",
            "podIP": _pod_ip(host, place),
            "podIPs": [{"ip": _pod_ip(host, place)}],
        },
    }


def service(number: int) -> dict[str, Any]:
    """A Service that selects the Pods of one Deployment, and asks."""
    template = number % (NAMESPACES * TEMPLATES)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "annotations": {"nodeportlocal.antrea.io/enabled": "true"},
            "name": f"svc-{number}",
            "namespace": f"team-{template % NAMESPACES}",
            "uid": uid("c", number),
        },
        "spec": {
            "clusterIP": f"10.96.{number // 250}.{number % 250 + 1}",
            "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
            "selector": {"app": f"app-{template // NAMESPACES}", "pod-template-hash": f"{template:010x}"},
            "type": "ClusterIP",
        },
    }


def uid(kind: str, number: int) -> str:
    """A UID that nobody else has."""
    return f"{kind}0000000-0000-4000-8000-{number:012x}"


def _container(name: str, port: int) -> dict[str, Any]:
    return {
        "env": [{"name": f"SETTING_{i}", "value": f"value-{i}"} for i in range(1)],
        "image": f"registry.example/{name}:1.2.3",
        "name": name,
        "ports": [{"containerPort": port, "name": "http", "protocol": "TCP"}],
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [{"mountPath": f"/mnt/{i}", "name": f"volume-{i}", "readOnly": True} for i in range(1)],
    }


def _pod_ip(host: int, place: int) -> str:
    return f"100.{64 + host // 250}.{host % 250}.{place % 250 + 1}"


def write(out: TextIO, nodes: int, pods: int, services: int, indent: int | None = 4) -> None:
    """The dump. indent None: compact, as an API server sends it."""
    separators = None if indent else (",", ":")
    out.write('{\n    "apiVersion": "v1",\n    "items": [')
    between = "\n"
    for item in _items(nodes, pods, services):
        text = json.dumps(item, indent=indent, separators=separators)
        out.write(between + (_shifted(text) if indent else text))
        between = ",\n"
    out.write('\n    ],\n    "kind": "List",\n    "metadata": {\n        "resourceVersion": ""\n    }\n}\n')


def _shifted(text: str) -> str:
    return " " * 8 + text.replace("\n", "\n" + " " * 8)


def _items(nodes: int, pods: int, services: int) -> Iterator[dict[str, Any]]:
    yield from map(node, range(nodes))
    yield from (pod(number, nodes) for number in range(pods))
    yield {**service(0), "metadata": {"name": "kubernetes", "namespace": "default", "uid": uid("d", 0)}}
    yield from map(service, range(services))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, count in (("nodes", 5000), ("pods", 150000), ("services", 5000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--compact", action="store_true")
    given = parser.parse_args()
    write(sys.stdout, given.nodes, given.pods, given.services, None if given.compact else 4)
