"""The ports of one Service, prepared once for all Pods that it selects. Pure.

A Service can have ten thousand ports, and select a hundred Pods of a node. So only what depends on the container ports
of a Pod, the numbers of named ports, is made for them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from heapq import merge
from itertools import islice
from typing import NamedTuple, cast

from nplconf.desired.names import protocol_of
from nplconf.model import USUAL_PROTOCOLS, ContainerPort, Protocol, Service, ServicePort


class RequestedPort(NamedTuple):
    """A port of a Pod that a Service asks for."""

    port: int
    protocol: Protocol


Name = tuple[str, str]
"""The name of a container port and its protocol, lower case."""


class Offer:
    """A Service that asks, and its ports by kind, each sorted and unique. protocols: those that can be mapped."""

    def __init__(self, service: Service, protocols: Collection[Protocol] = USUAL_PROTOCOLS) -> None:
        self.service = service
        self.protocols = protocols
        self.key = service.key

    @cached_property
    def targets(self) -> tuple[RequestedPort, ...]:
        """The ports given by number, sorted."""
        found = {(port.target, protocol_of(port)) for port in self.service.ports if isinstance(port.target, int)}
        return tuple(sorted(RequestedPort(*cast("RequestedPort", pair)) for pair in found if pair[1] in self.protocols))

    @cached_property
    def target_set(self) -> frozenset[RequestedPort]:
        """The same as a set."""
        return frozenset(self.targets)

    @cached_property
    def names(self) -> Mapping[Name, ServicePort]:
        """The ports given by name, sorted."""
        found = {
            (port.target, protocol_of(port)): port for port in self.service.ports if not isinstance(port.target, int)
        }
        return {name: found[name] for name in sorted(found) if name[1] in self.protocols}

    @cached_property
    def unsupported(self) -> tuple[ServicePort, ...]:
        """The ports of protocols that cannot be mapped."""
        found = {
            (isinstance(p.target, str), str(p.target).rjust(5), p.protocol): p
            for p in self.service.ports
            if protocol_of(p) not in self.protocols
        }
        return tuple(found[place] for place in sorted(found))


class Asked:
    """The ports that a Service requests of one Pod. unresolved: how many port names no container of the Pod has."""

    def __init__(self, offer: Offer, numbers: Mapping[Name, int]) -> None:
        self.offer = offer
        few: Collection[Name] = numbers if len(numbers) < len(offer.names) else offer.names
        resolved = {name for name in few if name in numbers and name in offer.names}
        self._named = {RequestedPort(numbers[name], cast("Protocol", name[1])) for name in resolved} - offer.target_set
        self._numbers = numbers
        self.unresolved = len(offer.names) - len(resolved)

    def __len__(self) -> int:
        return len(self.offer.targets) + len(self._named)

    def __contains__(self, target: object) -> bool:
        return target in self.offer.target_set or target in self._named

    def __iter__(self) -> Iterator[RequestedPort]:
        return merge(self.offer.targets, sorted(self._named))

    def first(self) -> tuple[RequestedPort, ...]:
        """Return the first target, if there is one."""
        return tuple(islice(self, 1))

    def first_unresolved(self) -> ServicePort:
        """Return the first port whose name no container of the Pod has."""
        return next(port for name, port in self.offer.names.items() if name not in self._numbers)


def named_numbers(ports: Iterable[ContainerPort]) -> dict[Name, int]:
    """Return the numbers of the container ports that have a name. Of a name and protocol the first one counts."""
    found: dict[Name, int] = {}
    for port in ports:
        if port.name:
            found.setdefault((port.name, port.protocol.lower()), port.container_port)
    return found
