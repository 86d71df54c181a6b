"""The cluster as lists and watch events describe it. Pure: who calls it guards it against other threads.

A mirror holds parsed values, not raw objects: they need a tenth of the memory, and have only what a decision uses. An
event that leaves the parsed value as it was (a condition, a heartbeat, the echo of our own patch) is no change.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Self, cast

from nplconf.cluster.objects import identity_of, read_node, read_pod, read_service
from nplconf.model import ClusterState, Node, Patch, Pod, Service

Resource = Literal["services", "nodes", "pods"]
Value = Service | Node | Pod
Read = Callable[[Mapping[str, Any]], Value | None]
"""Parses a raw object; None for one without a name, or one that is not followed."""


class Mirror:
    """The objects of some resources.

    Args:
        readers: the resources that are followed, and how their objects are parsed.

    Attributes:
        objects: the values of each resource, by namespace/name (of a Node: by name).
        listed: the resources of which a complete list has arrived.
        version: grows with every change that a decision may use.
    """

    def __init__(self, readers: Mapping[Resource, Read]) -> None:
        self._readers = dict(readers)
        self.objects: dict[Resource, dict[str, Value]] = {resource: {} for resource in readers}
        self.listed: set[Resource] = set()
        self.version = 0
        self._sent: dict[str, Patch] = {}

    @classmethod
    def of_node(cls, name: str) -> Self:
        """Return a mirror of what one node's runs need: all Services, the Node and its Pods."""

        def node(raw: Mapping[str, Any]) -> Node | None:
            value = read_node(raw)
            return value if value and value.name == name else None

        return cls({"services": read_service, "nodes": node, "pods": lambda raw: read_pod(raw, name)})

    @classmethod
    def of_cluster(cls) -> Self:
        """Return a mirror of all Services and all Pods, without any Node."""
        return cls({"services": read_service, "pods": read_pod})

    def values(self, resource: Resource, items: Iterable[Mapping[str, Any]]) -> dict[str, Value]:
        """Parse a complete list, for `replace`. It changes nothing, so that it needs no guard."""
        read = self._readers[resource]
        return {_key(value): value for raw in items if (value := read(raw))}

    def replace(self, resource: Resource, found: dict[str, Value]) -> bool:
        """Take the values of a complete list as the truth. Return whether anything changed."""
        changed = found != self.objects[resource] or resource not in self.listed
        self.objects[resource] = found
        self.listed.add(resource)
        self.version += changed
        return changed

    def update(self, resource: Resource, raw: Mapping[str, Any]) -> bool:
        """Take an object that was added or modified. Return whether anything changed."""
        value = self._readers[resource](raw)
        if value is None:  # not followed any more, or without a name
            return self.remove(resource, raw)
        known = self.objects[resource]
        same = value in (known.get(_key(value)), self._written(value))
        known[_key(value)] = value
        if same:
            return False
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

    def is_unaddressed(self, resource: Resource, raw: Mapping[str, Any]) -> bool:
        """Return whether an object is a Pod without an address, which no rule can lead to."""
        value = self.objects[resource].get(_identity(resource, raw)[0])
        return isinstance(value, Pod) and not value.ips

    def send(self, patches: Iterable[Patch]) -> None:
        """Take the patches that are being written: the event of each may come before its response, and is no change."""
        self._sent = {patch.pod.key: patch for patch in patches}

    def annotate(self, patches: Iterable[Patch]) -> None:
        """Take annotations that were written as they are now. The version stays: the run that wrote them knows."""
        self._sent = {}
        pods = self.objects["pods"]
        for patch in patches:
            if pod := _patched(pods.get(patch.pod.key), patch):
                pods[patch.pod.key] = pod

    def _written(self, value: Value) -> Pod | None:
        """Return what the patch that is being written makes of the object as it is known; None if there is no patch."""
        patch = self._sent.get(_key(value)) if isinstance(value, Pod) else None
        return _patched(self.objects["pods"].get(patch.pod.key), patch) if patch else None

    def state(self) -> ClusterState:
        """Return the snapshot that a fresh list of everything would give."""
        services, nodes, pods = (self.objects.get(name, {}) for name in ("services", "nodes", "pods"))
        return ClusterState(
            nodes=cast("tuple[Node, ...]", tuple(nodes.values())),
            pods=cast("tuple[Pod, ...]", tuple(pods.values())),
            services=cast("tuple[Service, ...]", tuple(services.values())),
            identity=identity_of(services.get("default/kubernetes")),
            served=True,
        )


def _patched(pod: Value | None, patch: Patch) -> Pod | None:
    if not isinstance(pod, Pod) or pod.ref != patch.pod:
        return None
    return dataclasses.replace(pod, annotation=patch.annotation, condition=patch.condition or pod.condition)


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
