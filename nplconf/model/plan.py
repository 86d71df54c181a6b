"""The plan of one node: its mappings, and what cannot be mapped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from nplconf.model.names import Family, PodPort, PodRef, PortRange, Protocol, Via


class RuleKey(NamedTuple):
    """The place of a rule: the kernel can have one per port, family and protocol. Plans are sorted by it."""

    node_port: int
    family: Family
    protocol: Protocol


class PortMapping(NamedTuple):
    """A port of the node that leads to a port of one Pod. With `via` hostPort, the CNI has the rule.

    A NamedTuple, because a full node has ten thousand of them in every run: it is made in a third of the time of a
    dataclass.
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
        """The place of its rule."""
        return RuleKey(self.node_port, self.family, self.protocol)

    @property
    def owner(self) -> PodPort:
        """The owner of its node port."""
        return PodPort(self.pod.key, self.pod_port)

    @property
    def subject(self) -> str:
        """Its name in failures: tcp/61044 (with IPv6: tcp6/61044), and the owner."""
        family = "" if self.family == "IPv4" else "6"
        return f"{self.protocol}{family}/{self.node_port} {self.owner.pod}:{self.pod_port}"


in_plan_order: Callable[[PortMapping], Any] = attrgetter("node_port", "family", "protocol", "pod", "pod_port")
"""The sort key of plans: (key, pod, pod_port). For 10,000 mappings it takes a third of the time of making keys."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A port that a Service asks for and that is not mapped.

    Attributes:
        pod: namespace/name; None where a Service is skipped as a whole.
        pod_port: A number, or the name of the port.
        protocol: As in the Service.
        service: namespace/name.
        reason: One word.
        message: A sentence.

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
        """The port, and how many others the row stands for."""
        return f"{self.pod_port}/{self.protocol}" + (f" and {self.more:,} more" if self.more else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """The mappings of one node. mappings: sorted by `PortMapping.key` (hostPort rows may repeat a key's number)."""

    node: str
    cluster: str | None
    node_ips: Mapping[Family, str] = field(hash=False)
    port_range: PortRange
    mappings: tuple[PortMapping, ...] = ()
    skipped: tuple[Skipped, ...] = ()
