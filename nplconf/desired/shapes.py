"""The requests of Services for all Pods with the same container ports, prepared once for these Pods. Pure.

A node has many Pods and few workloads. Without this, expanding the requests of 10,000 Pods takes three times as long.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from nplconf.desired.offers import Asked, Offer, RequestedPort, named_numbers
from nplconf.model import FAMILIES, ContainerPort, Family, Protocol

HostPorts = Mapping[tuple[int, str], list[ContainerPort]]
"""The container ports that have a hostPort, by number and protocol."""


class Place(NamedTuple):
    """A port of a Pod in one family, and the Services that ask for it, sorted."""

    port: int
    protocol: Protocol
    family: Family
    services: tuple[str, ...]


class Shape:
    """The requests of Services for a Pod, as far as they depend only on its container ports.

    Attributes:
        asked: What each Service asks.
        host_ports: The hostPorts of the containers.
        families: The IP families of the Services.
        size: How many targets all Services have together.

    """

    def __init__(self, offers: Sequence[Offer], ports: tuple[ContainerPort, ...]) -> None:
        numbers = named_numbers(ports)
        self.asked = tuple(Asked(offer, numbers) for offer in offers)
        self.host_ports = _host_ports(ports)
        self.families = tuple(dict.fromkeys(family for offer in offers for family in families(offer)))
        self.size = sum(map(len, self.asked))
        self._places: dict[tuple[Family, ...], tuple[Place, ...]] = {}

    @cached_property
    def is_plain(self) -> bool:
        """Whether every port can be mapped and none has a hostPort."""
        unmappable = any(one.unresolved or one.offer.unsupported for one in self.asked)
        return not unmappable and not self.host_ports

    @cached_property
    def ports(self) -> int:
        """How many node ports a Pod needs for all targets."""
        return len({target.port for one in self.asked for target in one})

    def places(self, reached: tuple[Family, ...]) -> tuple[Place, ...]:
        """Return all targets in the families in which a Pod is reached."""
        if reached not in self._places:
            self._places[reached] = places(((one.offer, one) for one in self.asked), reached)
        return self._places[reached]


def families(offer: Offer) -> tuple[Family, ...]:
    """Return the IP families of a Service that nplconf knows."""
    return tuple(family for family in FAMILIES if family in offer.service.families)


def places(targets: Iterable[tuple[Offer, Iterable[RequestedPort]]], reached: Iterable[Family]) -> tuple[Place, ...]:
    """Return these targets of each Service, in the families in which a Pod is reached."""
    there = frozenset(reached)
    services: dict[tuple[int, Protocol, Family], set[str]] = {}
    for offer, asked in targets:
        found = [family for family in families(offer) if family in there]
        for target in asked:
            for family in found:
                services.setdefault((*target, family), set()).add(offer.key)
    return tuple(Place(*place, tuple(sorted(keys))) for place, keys in services.items())


def _host_ports(ports: Iterable[ContainerPort]) -> HostPorts:
    found: dict[tuple[int, str], list[ContainerPort]] = {}
    for port in ports:
        if port.host_port:
            found.setdefault((port.container_port, port.protocol.lower()), []).append(port)
    return found
