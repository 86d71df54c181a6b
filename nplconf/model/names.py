"""The words and keys that all values share: families, protocols, backends, a Pod, a Pod port, a port range."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

ANNOTATION = "nodeportlocal.antrea.io"
"""The Pod annotation that load balancers read."""
GATE = "nplconf.io/published"
"""The type of the condition, and of the readiness gate, that says that a Pod is published."""
ENABLED = ANNOTATION + "/enabled"
"""The Service annotation that selects, when its value is exactly "true"."""

Family = Literal["IPv4", "IPv6"]
Protocol = Literal["tcp", "udp", "sctp"]
Via = Literal["dnat", "hostPort"]
IptablesKind = Literal["nft", "legacy"]
Backend = Literal["iptables-nft", "iptables-legacy", "nftables"]
FAMILIES: tuple[Family, ...] = ("IPv4", "IPv6")
PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp", "sctp")
USUAL_PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")
"""The protocols that are mapped without `--sctp`."""


class PodPort(NamedTuple):
    """The owner of a node port: a port of a Pod by name. A StatefulSet Pod that comes back has the same owner."""

    pod: str
    """namespace/name"""
    port: int

    @property
    def namespace(self) -> str:
        """The Pod's namespace."""
        return self.pod.partition("/")[0]


class PodRef(NamedTuple):
    """The identity of a Pod. Two Pods with one name and two UIDs are two Pods."""

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

    @property
    def numbers(self) -> range:
        """The numbers, lowest first."""
        return range(self.first, self.last + 1)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.first <= number <= self.last

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"
