"""The cluster of the demo: a node, a Pod with two containers, another Pod, and Services that ask for NodePortLocal."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nplconf.model import ANNOTATION, ENABLED

NODE = "worker-1"
NODE_IP = "192.0.2.1"
CLIENT_IP = "192.0.2.77"


@dataclass(frozen=True, slots=True)
class DemoPod:
    """A Pod of the demo, and the ports that its containers serve."""

    name: str
    ip: str
    app: str
    ports: tuple[int, ...]


WEB = DemoPod("web-0", "10.244.3.17", "web", (9090, 9000))
API = DemoPod("api-0", "10.244.3.18", "api", (8080,))
PODS = (WEB, API)
SERVICES = {"web-1": (WEB, 9090), "web-2": (WEB, 9000), "api": (API, 8080)}
"""Service -> its Pod and target port."""


def objects() -> dict[str, Any]:
    """Return the cluster as `kubectl get nodes,pods,services -A -o yaml` prints it, without unused fields."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            _object("Node", NODE, status={"addresses": [{"type": "InternalIP", "address": NODE_IP}]}),
            *map(_pod, PODS),
            _object("Service", "kubernetes", "default", spec={"type": "ClusterIP", "ports": [{"port": 443}]}),
            *(_service(name, pod, port) for name, (pod, port) in SERVICES.items()),
        ],
    }


def _object(kind: str, name: str, namespace: str | None = None, **parts: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": f"demo-{kind.lower()}-{name}"}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **parts}


def _pod(demo_pod: DemoPod) -> dict[str, Any]:
    containers = [{"name": f"server-{port}", "ports": [{"containerPort": port}]} for port in demo_pod.ports]
    status = {"phase": "Running", "podIP": demo_pod.ip, "podIPs": [{"ip": demo_pod.ip}]}
    pod = _object("Pod", demo_pod.name, "shop", spec={"nodeName": NODE, "containers": containers}, status=status)
    pod["metadata"]["labels"] = {"app": demo_pod.app}
    return pod


def _service(name: str, pod: DemoPod, port: int) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": port, "protocol": "TCP"}]
    spec = {"type": "ClusterIP", "selector": {"app": pod.app}, "ipFamilies": ["IPv4"], "ports": ports}
    service = _object("Service", name, "shop", spec=spec)
    service["metadata"]["annotations"] = {ENABLED: "true"}
    return service


class DemoCluster:
    """The cluster state in a file, instead of an API server."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def write(self, state: dict[str, Any]) -> None:
        """Write the whole state."""
        import yaml

        self.file.write_text(yaml.safe_dump(state, sort_keys=False))

    def stop_asking(self, service: str) -> None:
        """Remove the annotation, as `kubectl annotate service NAME nodeportlocal.antrea.io/enabled-` does."""
        state = self._read()
        del self._find(state, "Service", service)["metadata"]["annotations"][ENABLED]
        self.write(state)

    def published(self, pod: DemoPod) -> dict[int, int]:
        """Return Pod port -> node port from the Pod's annotation."""
        return {entry["podPort"]: entry["nodePort"] for entry in json.loads(self.annotation(pod) or "[]")}

    def annotation(self, pod: DemoPod) -> str | None:
        """Return the Pod's annotation; None without one."""
        annotations = self._find(self._read(), "Pod", pod.name)["metadata"].get("annotations") or {}
        return annotations.get(ANNOTATION)

    def _read(self) -> dict[str, Any]:
        import yaml

        state: dict[str, Any] = yaml.safe_load(self.file.read_text())
        return state

    @staticmethod
    def _find(state: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(
            item for item in state["items"] if item["kind"] == kind and item["metadata"]["name"] == name
        )
        return found
