"""The cluster as a snapshot of it says. Strings are as given, unchecked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nplconf.model.names import PodRef


@dataclass(frozen=True, slots=True)
class Node:
    """A Node object. addresses: (type, address) as in status.addresses, unchecked."""

    name: str
    uid: str
    addresses: tuple[tuple[str, str], ...]
    windows: bool = False
    """The node runs Windows, which has no iptables, so there is no plan for it."""


class Condition(NamedTuple):
    """The condition `GATE` of a Pod. reason: one word in CamelCase; message: a sentence."""

    status: str
    reason: str = ""
    message: str = ""


class ContainerPort(NamedTuple):
    """A port that a container (or a sidecar init container) declares. protocol: as in the API ("TCP", "SCTP"...)."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0
    host_ip: str = ""
    sidecar: bool = False
    """It is a sidecar init container's."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod object.

    Attributes:
        ref: Namespace, name and UID.
        node: The node that it runs on.
        labels: Its labels.
        phase: status.phase.
        host_network: It uses the addresses of its node.
        ips: status.podIPs (or podIP) as given.
        ports: The ports that its containers declare.
        annotation: The raw value of `ANNOTATION`; None without the key.

    """

    ref: PodRef
    node: str
    labels: Mapping[str, str] = field(hash=False)
    phase: str = "Running"
    host_network: bool = False
    ips: tuple[str, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    annotation: str | None = None
    terminating: bool = False
    """It has a deletionTimestamp; its containers may still run."""
    containers_ended: bool = False
    """No container of it runs now. While the Pod is not deleted they may be started again."""
    containers_ready: bool = False
    """The condition ContainersReady."""
    gated: bool = False
    """It has the readiness gate `GATE`."""
    condition: Condition | None = None
    """Its condition `GATE`, as it is."""
    ready: bool = False
    """The condition Ready. It is read with the whole cluster only: no run on a node depends on it."""
    version: str = field(default="", compare=False)
    """metadata.resourceVersion. It changes with every write, so Pods that differ in it alone are equal."""

    @property
    def terminated(self) -> bool:
        """True when it will never run again; its IP may already be another Pod's."""
        return self.phase in ("Succeeded", "Failed") or (self.terminating and self.containers_ended)


class ServicePort(NamedTuple):
    """One port of a Service. target: a number, or the name of a container port. protocol as in the API."""

    port: int
    target: int | str
    protocol: str = "TCP"
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A Service object, with the API server's defaults filled in. enabled: it asks for mappings."""

    namespace: str
    name: str
    uid: str
    type: str
    selector: Mapping[str, str] = field(hash=False)
    families: tuple[str, ...]
    ports: tuple[ServicePort, ...]
    enabled: bool
    health_check_node_port: int = 0
    enabled_value: str | None = None
    """The value of the annotation `ENABLED`, quoted for messages; None without the annotation."""
    external_ips: tuple[str, ...] = ()
    """Addresses at which kube-proxy serves each `port`, as given (spec.externalIPs)."""
    ingress_ips: tuple[str, ...] = ()
    """The same for status.loadBalancer.ingress."""

    @property
    def key(self) -> str:
        """namespace/name"""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One snapshot of the cluster.

    Attributes:
        nodes: The Nodes.
        pods: The Pods.
        services: The Services.
        identity: UID of the Service default/kubernetes; None where the snapshot does not have it.
        elsewhere: namespace/name -> node of the Pods on other nodes ("" without a node yet). An API server is asked
            for this node's Pods only, so then it is empty.
        served: The snapshot is a response of an API server, and no file.

    """

    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]
    services: tuple[Service, ...]
    identity: str | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict, hash=False)
    served: bool = False

    def on(self, node: str) -> tuple[Pod, ...]:
        """Return the Pods of a node."""
        return tuple([pod for pod in self.pods if pod.node == node])


class Right(NamedTuple):
    """One request that `apply` makes ("patch pods/status"), whether it is allowed, and the fix where one is known."""

    what: str
    allowed: bool
    fix: str = ""
