"""Tenants at random: what four namespaces do to one node's cluster, some of it hostile. Pure but for the dice."""

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from worlds import ADDRESSES, ANNOTATION, ENABLED, NODE, raw_node

Raw = dict[str, Any]
TENANTS = ("alpha", "beta", "gamma", "mallory")
"""The last one is hostile."""
PORTS = (8080, 9090, 9000)
PROTOCOLS = ("TCP", "UDP")
MOST_PODS = 12


@dataclass
class Cluster:
    """The cluster as the API server would have it. Pods and Services by namespace/name."""

    dice: random.Random
    pods: dict[str, Raw] = field(default_factory=dict)
    services: dict[str, Raw] = field(default_factory=dict)
    addresses: Iterator[int] = field(default_factory=lambda: iter(range(1, 1 << 30)))

    def objects(self) -> list[Raw]:
        """Everything, in an order of the dice: none may matter."""
        found = [*self.pods.values(), *self.services.values()]
        self.dice.shuffle(found)
        return [raw_node(addresses=ADDRESSES), *found]

    def take(self, objects: list[Raw]) -> None:
        """Take the Pods' annotations as a run has written them."""
        for raw in objects:
            if raw["kind"] == "Pod" and (pod := self.pods.get(_key(raw))):
                pod["metadata"] = deepcopy(raw["metadata"])

    def play(self) -> str:
        """Carry out one random change. Return its name."""
        tenant = self.dice.choice(TENANTS)
        deeds = [*_DEEDS, *_HOSTILE] if tenant == TENANTS[-1] else _DEEDS
        deed = self.dice.choice(deeds)
        deed(self, tenant)
        return deed.__name__

    # --- builders

    def new_ip(self) -> str:
        """An address that no Pod had before."""
        number = next(self.addresses)
        return f"10.244.{number >> 8 & 0xFF}.{number & 0xFF or 1}" if number & 0xFF else self.new_ip()

    def of(self, tenant: str, kind: dict[str, Raw]) -> Raw | None:
        """Return one of a namespace's objects."""
        own = sorted(key for key in kind if key.startswith(f"{tenant}/"))
        return kind[self.dice.choice(own)] if own else None


def _key(raw: Raw) -> str:
    return f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"


# --- ordinary changes ------------------------------------------------------------------------------------------------


def start_pod(cluster: Cluster, tenant: str) -> None:
    name = f"web-{cluster.dice.randrange(4)}"
    if f"{tenant}/{name}" in cluster.pods or len(cluster.pods) >= MOST_PODS:
        return
    uid = f"{tenant}-{name}-{cluster.dice.randrange(1 << 30)}"
    metadata = {"namespace": tenant, "name": name, "uid": uid, "labels": {"app": cluster.dice.choice("ab")}}
    status = {"phase": "Running", "podIP": (ip := cluster.new_ip()), "podIPs": [{"ip": ip}]}
    spec = {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]}
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}
    cluster.pods[_key(raw)] = raw


def end_pod(cluster: Cluster, tenant: str) -> None:
    if raw := cluster.of(tenant, cluster.pods):
        del cluster.pods[_key(raw)]


def finish_pod(cluster: Cluster, tenant: str) -> None:
    if raw := cluster.of(tenant, cluster.pods):
        raw["status"]["phase"] = cluster.dice.choice(["Succeeded", "Failed"])


def move_pod(cluster: Cluster, tenant: str) -> None:
    if raw := cluster.of(tenant, cluster.pods):
        ip = cluster.new_ip()
        raw["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}]}


def relabel_pod(cluster: Cluster, tenant: str) -> None:
    if raw := cluster.of(tenant, cluster.pods):
        raw["metadata"]["labels"] = {"app": cluster.dice.choice("abc")}


def start_service(cluster: Cluster, tenant: str) -> None:
    name = f"s-{cluster.dice.randrange(3)}"
    chosen = cluster.dice.sample([(p, q) for p in PORTS for q in PROTOCOLS], cluster.dice.randint(1, 3))
    ports = [{"port": port, "targetPort": port, "protocol": protocol} for port, protocol in chosen]
    metadata = {"namespace": tenant, "name": name, "uid": f"{tenant}-{name}", "annotations": {ENABLED: "true"}}
    spec = {"type": "ClusterIP", "selector": {"app": cluster.dice.choice("ab")}, "ipFamilies": ["IPv4"], "ports": ports}
    raw = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    cluster.services[_key(raw)] = raw


def end_service(cluster: Cluster, tenant: str) -> None:
    if raw := cluster.of(tenant, cluster.services):
        del cluster.services[_key(raw)]


def switch_service(cluster: Cluster, tenant: str) -> None:
    if raw := cluster.of(tenant, cluster.services):
        raw["metadata"]["annotations"] = {ENABLED: cluster.dice.choice(["true", "false", "True"])}


# --- what a hostile one does -----------------------------------------------------------------------------------------


def forge_annotation(cluster: Cluster, tenant: str) -> None:
    others = [raw for key, raw in cluster.pods.items() if not key.startswith(f"{tenant}/")]
    if (raw := cluster.of(tenant, cluster.pods)) and others:
        stolen = cluster.dice.choice(others)["metadata"].get("annotations", {}).get(ANNOTATION, "{")
        raw["metadata"].setdefault("annotations", {})[ANNOTATION] = stolen


def claim_host_port(cluster: Cluster, tenant: str) -> None:
    if raw := cluster.of(tenant, cluster.pods):
        host = {"containerPort": 1, "hostPort": 61000 + cluster.dice.randrange(40), "hostIP": "127.0.0.1"}
        raw["spec"]["containers"][0]["ports"] = [host]


def share_an_address(cluster: Cluster, tenant: str) -> None:
    """A Pod that never ran names an address of somebody else; it has none of its own."""
    if (raw := cluster.of(tenant, cluster.pods)) and (other := cluster.dice.choice(list(cluster.pods.values()))):
        raw["status"] = {"phase": "Failed", "podIP": other["status"].get("podIP", "")}


def break_service(cluster: Cluster, tenant: str) -> None:
    if raw := cluster.of(tenant, cluster.services):
        raw["spec"]["ports"] = cluster.dice.choice(
            [None, "x", [{"port": "80"}], [{"port": 80, "targetPort": "no-such-name", "protocol": "TCP"}]]
        )


_DEEDS: list[Callable[[Cluster, str], None]] = [
    *(start_pod, start_pod, end_pod, finish_pod, move_pod, relabel_pod),
    *(start_service, start_service, end_service, switch_service),
]
_HOSTILE: list[Callable[[Cluster, str], None]] = [forge_annotation, claim_host_port, share_an_address, break_service]
