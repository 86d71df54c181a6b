"""The values that every stage speaks of: frozen, hashable where they are keys, free of effects.

What a full node has ten thousand of is a NamedTuple, which is made, compared and hashed several times as fast as a
dataclass; all else is a dataclass.

Strings from the cluster are untrusted here: they are checked where they are turned into a plan (`desired`), into rules
(`rules`) or into text for a person (`output`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

ANNOTATION = "nodeportlocal.antrea.io"
"""The Pod annotation that load balancers read."""
GATE = "nplconf.io/published"
"""The type of the condition, and of the readiness gate, that says that a Pod is published."""
ENABLED = ANNOTATION + "/enabled"
"""The Service annotation that selects, when its value is exactly "true"."""

Family = Literal["IPv4", "IPv6"]
Protocol = Literal["tcp", "udp"]
Via = Literal["dnat", "hostPort"]
IptablesKind = Literal["nft", "legacy"]
Backend = Literal["iptables-nft", "iptables-legacy", "nftables"]
FAMILIES: tuple[Family, ...] = ("IPv4", "IPv6")
PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")


class PodPort(NamedTuple):
    """What owns a number: a port of a Pod by name, so that a StatefulSet Pod that comes back has it again."""

    pod: str
    """namespace/name"""
    port: int

    @property
    def namespace(self) -> str:
        """The Pod's namespace."""
        return self.pod.partition("/")[0]


class PodRef(NamedTuple):
    """A Pod's identity. Two Pods with one name and two UIDs are two Pods."""

    namespace: str
    name: str
    uid: str

    @property
    def key(self) -> str:
        """namespace/name"""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Node port numbers, both ends included."""

    first: int
    last: int

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.first <= number <= self.last

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


# --- the cluster, as a snapshot of it says ---------------------------------------------------------------------------


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
    """A Pod object. ips: status.podIPs (or podIP) as given. annotation: the raw value of ANNOTATION, None without the
    key.
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
    """A Service object, with the API server's defaults filled in. enabled: it asks for NPL."""

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
    """One snapshot. identity: UID of the Service default/kubernetes, None where the snapshot does not have it.

    elsewhere: namespace/name -> node of the Pods that run on other nodes than the one that was asked for ("" for one
    that has no node yet), where the source tells; the API server is asked for this node's Pods alone. served: an API
    server's answer, not a file that somebody wrote.
    """

    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]
    services: tuple[Service, ...]
    identity: str | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict, hash=False)
    served: bool = False


class Right(NamedTuple):
    """One request that `apply` makes ("patch pods/status"), whether it is allowed, and the fix where one is known."""

    what: str
    allowed: bool
    fix: str = ""


# --- the plan --------------------------------------------------------------------------------------------------------


class RuleKey(NamedTuple):
    """What the kernel can have once: a number, per family and protocol. Sorts as plans do."""

    node_port: int
    family: Family
    protocol: Protocol


class PortMapping(NamedTuple):
    """A port of the node that leads to a port of one Pod. via hostPort: advertised, and the CNI's to program, not ours.

    A NamedTuple, as a full node has ten thousand of them in every run, and they are made in a third of the time.
    """

    node_port: int
    protocol: Protocol
    family: Family
    node_ip: str
    pod: PodRef
    pod_ip: str
    pod_port: int
    services: tuple[str, ...] = ()
    via: Via = "dnat"
    source_ranges: tuple[str, ...] = ()
    """CIDRs a client must come from; empty: anywhere. Only a policy sets it."""

    @property
    def key(self) -> RuleKey:
        """Its place among rules."""
        return RuleKey(self.node_port, self.family, self.protocol)

    @property
    def owner(self) -> PodPort:
        """What its number belongs to."""
        return PodPort(self.pod.key, self.pod_port)

    @property
    def subject(self) -> str:
        """What failures call it: tcp/61044 (on IPv6: tcp6/61044) and whose it is."""
        family = "" if self.family == "IPv4" else "6"
        return f"{self.protocol}{family}/{self.node_port} {self.owner.pod}:{self.pod_port}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that a Service asks for and cannot have. pod: namespace/name or None; pod_port: a number, or the port's
    name.
    """

    pod: str | None
    pod_port: int | str
    protocol: str
    service: str
    reason: str
    message: str
    rule: str | None = None
    """The path in the policy file that decided, where one did."""
    more: int = 0
    """How many other ports of the Service, on that Pod and for that reason, the row stands for."""

    @property
    def ports(self) -> str:
        """The port it names, and how many others it stands for."""
        return f"{self.pod_port}/{self.protocol}" + (f" and {self.more:,} more" if self.more else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """What one node is to have. mappings sorted by `PortMapping.key` (hostPort rows may repeat a key's number)."""

    node: str
    cluster: str | None
    node_ips: Mapping[Family, str] = field(hash=False)
    port_range: PortRange
    mappings: tuple[PortMapping, ...] = ()
    skipped: tuple[Skipped, ...] = ()


# --- the node, as it was read ----------------------------------------------------------------------------------------


class LiveRule(NamedTuple):
    """A DNAT rule of ours as the kernel has it. tag: its comment, which names the owner where it is whole."""

    key: RuleKey
    pod_ip: str
    pod_port: int
    tag: str
    source_ranges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """A number of the range that could not be bound. by: who has it, where /proc tells ("nginx[812]")."""

    number: int
    protocol: Protocol
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Holds:
    """What the hold daemon answered. free of surprises: a number is held when it is in range and not taken.

    available False: no daemon, or none that can be understood; message says why. probed: found by binding just now
    (`--no-hold`), not by a daemon.
    """

    available: bool
    ranges: tuple[PortRange, ...] = ()
    taken: tuple[Taken, ...] = ()
    message: str = ""
    probed: bool = False


class MasqueradeSource(NamedTuple):
    """Sources that reach a Pod without passing the node's conntrack on the way back, so that their packets are
    masqueraded.

    pod_ip: a Pod's address; source: the network (CIDR) its neighbours have, or the Pod's own address for hairpin alone.
    """

    pod_ip: str
    source: str


# --- what was decided, and what came of it ---------------------------------------------------------------------------


Action = Literal["add", "change", "delete", "repair"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True, slots=True)
class Change:
    """One mapping to make, change or remove. was: the mapping as it is now; for a delete, mapping is that too.

    repair: what the last run left in place was changed by somebody else.
    """

    action: Action
    reason: str
    mapping: PortMapping
    was: PortMapping | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """A Pod's annotation as it is to be; None removes the key.

    Attributes:
        pod: The Pod, with its UID.
        annotation: The value.
        condition: The condition `GATE` to write with it; None leaves it as it is.
        same: The annotation is so already.
        transition: The status of the condition changes.

    """

    pod: PodRef
    annotation: str | None
    condition: Condition | None = None
    same: bool = False
    transition: bool = False


FindingKind = Literal["jumps", "dispatch", "backend", "unreadable", "annotation", "foreign"]
FINDING_KINDS: tuple[FindingKind, ...] = get_args(FindingKind)


@dataclass(frozen=True, slots=True)
class Event:
    """A message to whoever looks at a Pod or a Service. reason: one word in CamelCase; note: a sentence.

    topic, value: what it is about, and what it says of that in short; it is said anew when the value changes.
    """

    kind: Literal["Pod", "Service"]
    namespace: str
    name: str
    uid: str
    topic: str
    value: str
    reason: str
    note: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Something of ours on the node that is not as it must be, beside the mappings."""

    kind: FindingKind
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that did not succeed for one subject; the others went on.

    refused: it is this one that was not taken, where others would be: nothing is wrong with who was asked.
    """

    step: str
    subject: str
    message: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Stale:
    """A row of a reviewed plan that no longer holds; it is not applied."""

    reason: Literal["pod-gone", "other-node", "not-selected", "uid-changed", "ip-changed"]
    mapping: PortMapping


@dataclass(frozen=True, slots=True)
class Pending:
    """A Pod port that a Service asks for and a reviewed plan does not know; it waits for the next review."""

    pod: PodRef
    pod_port: int
    protocol: Protocol
    reason: Literal["not-reviewed"] = "not-reviewed"
