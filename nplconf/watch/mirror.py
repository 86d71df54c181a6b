"""The cluster as lists and watch events describe it. Pure: who calls it guards it against other threads.

A mirror holds parsed values, not raw objects: they need a tenth of the memory, and have only what a decision uses. An
event that leaves the parsed value as it was (a condition, a heartbeat, the echo of our own patch) is no change.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nplconf.cluster.objects import identity_of, read_node, read_pod, read_service
from nplconf.model import ClusterState, Node, Patch, Pod, Service

Resource = Literal["services", "nodes", "pods"]
RESOURCES: tuple[Resource, ...] = ("services", "nodes", "pods")
Value = Service | Node | Pod


@dataclass(slots=True)
class Mirror:
    """The Services of the cluster, one Node and its Pods.

    Attributes:
        node: the name of the Node.
        objects: the values of each resource, by namespace/name (of a Node: by name).
        listed: the resources of which a complete list has arrived.
        version: grows with every change that a decision may use.
    """

    node: str
    objects: dict[Resource, dict[str, Value]] = field(default_factory=lambda: {name: {} for name in RESOURCES})
    listed: set[Resource] = field(default_factory=set)
    version: int = 0

    def replace(self, resource: Resource, items: Iterable[Mapping[str, Any]]) -> bool:
        """Take a complete list as the truth. Return whether anything changed."""
        values = (self._read(resource, raw) for raw in items)
        found: dict[str, Value] = {_key(value): value for value in values if value}
        changed = found != self.objects[resource] or resource not in self.listed
        self.objects[resource] = found
        self.listed.add(resource)
        self.version += changed
        return changed

    def update(self, resource: Resource, raw: Mapping[str, Any]) -> bool:
        """Take an object that was added or modified. Return whether anything changed."""
        value = self._read(resource, raw)
        if value is None:  # not of this node any more, or without a name
            return self.remove(resource, raw)
        known = self.objects[resource]
        if known.get(_key(value)) == value:
            return False
        known[_key(value)] = value
        self.version += 1
        return True

    def remove(self, resource: Resource, raw: Mapping[str, Any]) -> bool:
        """Take an object that was deleted. Return whether it was known, under this UID."""
        name, uid = _identity(resource, raw)
        value = self.objects[resource].get(name)
        if value is None or _uid(value) != uid:
            return False
        del self.objects[resource][name]
        self.version += 1
        return True

    def annotate(self, patches: Iterable[Patch]) -> None:
        """Take annotations that were written as they are now. The version stays: the run that wrote them knows."""
        pods = self.objects["pods"]
        for patch in patches:
            pod = pods.get(patch.pod.key)
            if isinstance(pod, Pod) and pod.ref == patch.pod:
                pods[patch.pod.key] = dataclasses.replace(pod, annotation=patch.annotation)

    def state(self) -> ClusterState:
        """Return the snapshot that a fresh list of everything would give."""
        services, nodes, pods = (self.objects[name] for name in RESOURCES)
        return ClusterState(
            nodes=tuple(v for v in nodes.values() if isinstance(v, Node)),
            pods=tuple(v for v in pods.values() if isinstance(v, Pod)),
            services=tuple(v for v in services.values() if isinstance(v, Service)),
            identity=identity_of(services.get("default/kubernetes")),
            served=True,
        )

    def _read(self, resource: Resource, raw: Mapping[str, Any]) -> Value | None:
        if resource == "services":
            return read_service(raw)
        if resource == "pods":
            return read_pod(raw, self.node)
        value = read_node(raw)
        return value if value and value.name == self.node else None


def _key(value: Value) -> str:
    if isinstance(value, Node):
        return value.name
    return value.ref.key if isinstance(value, Pod) else value.key


def _uid(value: Value) -> str:
    return value.ref.uid if isinstance(value, Pod) else value.uid


def _identity(resource: Resource, raw: Mapping[str, Any]) -> tuple[str, str]:
    """Return (namespace/name, UID) of a raw object, both "" where it has none."""
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name, uid = metadata.get("name"), metadata.get("uid")
    namespace = metadata.get("namespace") or "default"
    return (str(name or "") if resource == "nodes" else f"{namespace}/{name}"), str(uid or "")
