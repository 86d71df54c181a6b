"""Who is in the cluster: a node, a Pod with two containers, another Pod, and Services that ask for NodePortLocal."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nplconf.model import ANNOTATION, ENABLED

NODE = "worker-1"
NODE_IP = "192.0.2.1"
CLIENT_IP = "192.0.2.77"


@dataclass(frozen=True, slots=True)
class Player:
    """A Pod of the demo, and the ports that its containers serve."""

    name: str
    ip: str
    app: str
    ports: tuple[int, ...]


WEB = Player("web-0", "10.244.3.17", "web", (9090, 9000))
API = Player("api-0", "10.244.3.18", "api", (8080,))
PLAYERS = (WEB, API)
SERVICES = {"web-1": (WEB, 9090), "web-2": (WEB, 9000), "api": (API, 8080)}
"""Service -> the Pod and the port it leads to."""


def objects() -> dict[str, Any]:
    """The cluster as `kubectl get nodes,pods,services -A -o yaml` would print it, less what nobody reads."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            _object("Node", NODE, status={"addresses": [{"type": "InternalIP", "address": NODE_IP}]}),
            *map(_pod, PLAYERS),
            _object("Service", "kubernetes", "default", spec={"type": "ClusterIP", "ports": [{"port": 443}]}),
            *(_service(name, player, port) for name, (player, port) in SERVICES.items()),
        ],
    }


def _object(kind: str, name: str, namespace: str | None = None, **parts: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": f"demo-{kind.lower()}-{name}"}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **parts}


def _pod(player: Player) -> dict[str, Any]:
    containers = [{"name": f"server-{port}", "ports": [{"containerPort": port}]} for port in player.ports]
    status = {"phase": "Running", "podIP": player.ip, "podIPs": [{"ip": player.ip}]}
    pod = _object("Pod", player.name, "shop", spec={"nodeName": NODE, "containers": containers}, status=status)
    pod["metadata"]["labels"] = {"app": player.app}
    return pod


def _service(name: str, player: Player, port: int) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": port, "protocol": "TCP"}]
    spec = {"type": "ClusterIP", "selector": {"app": player.app}, "ipFamilies": ["IPv4"], "ports": ports}
    service = _object("Service", name, "shop", spec=spec)
    service["metadata"]["annotations"] = {ENABLED: "true"}
    return service


class Cluster:
    """The cluster state in a file, which stands for the API server."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def write(self, state: dict[str, Any]) -> None:
        """The whole state anew."""
        import yaml

        self.file.write_text(yaml.safe_dump(state, sort_keys=False))

    def stop_asking(self, service: str) -> None:
        """What `kubectl annotate service NAME nodeportlocal.antrea.io/enabled-` does."""
        state = self._read()
        del self._find(state, "Service", service)["metadata"]["annotations"][ENABLED]
        self.write(state)

    def published(self, player: Player) -> dict[int, int]:
        """Pod port -> node port, as the Pod's annotation tells load balancers."""
        return {entry["podPort"]: entry["nodePort"] for entry in json.loads(self.annotation(player) or "[]")}

    def annotation(self, player: Player) -> str | None:
        """The annotation as it is, None without one."""
        annotations = self._find(self._read(), "Pod", player.name)["metadata"].get("annotations") or {}
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
