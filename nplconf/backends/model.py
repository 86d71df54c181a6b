"""The values of the list of backends. Everything in them is checked: it may stand in a configuration file."""

from typing import Literal, NamedTuple

from nplconf.model import Family, PodRef, Protocol

LintKind = Literal[
    "address-invalid",
    "address-shared",
    "enabled-not-true",
    "named-port-differs",
    "named-port-unresolved",
    "port-crosses",
    "sidecar-port",
]


class Backend(NamedTuple):
    """One address and port that leads to a port of a Pod.

    Attributes:
        name: unique among the backends of a Service port, and the same as long as the Pod has its name.
        weight: 1; 0 for a Pod that is draining.
        draining: the Pod is being deleted: it finishes what it has, and gets nothing new.
    """

    name: str
    address: str
    node_port: int
    family: Family
    pod: PodRef
    node: str
    pod_port: int
    weight: int
    draining: bool


class WithdrawnPod(NamedTuple):
    """A draining Pod whose annotation is withdrawn already: it still serves, but its address is not published."""

    pod: PodRef
    node: str


class ServiceBackends(NamedTuple):
    """The backends of one Service port. target: its targetPort; None for a Service port that is not there."""

    namespace: str
    service: str
    port: int
    protocol: Protocol
    target: int | str | None = None
    backends: tuple[Backend, ...] = ()
    withdrawn: tuple[WithdrawnPod, ...] = ()


class Lint(NamedTuple):
    """Something that a load balancer would get wrong. service: namespace/name."""

    kind: LintKind
    service: str
    message: str


class Collected(NamedTuple):
    """Everything that is known of a cluster state, sorted."""

    services: tuple[ServiceBackends, ...]
    lint: tuple[Lint, ...]


class Wanted(NamedTuple):
    """One Service, or one of its ports, to which the list is restricted."""

    namespace: str
    service: str
    port: int | None = None

    @property
    def key(self) -> str:
        """namespace/name"""
        return f"{self.namespace}/{self.service}"
