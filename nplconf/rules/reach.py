"""The packets from outside that reach a foreign rule, by port and destination. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nplconf.model import PROTOCOLS, PortRange, Protocol
from nplconf.rules.foreign import Network


class PortSpan(NamedTuple):
    """Some ports of one protocol, both ends included."""

    protocol: Protocol
    first: int
    last: int


class Reach(NamedTuple):
    """The packets that reach a rule.

    Attributes:
        ports: Their destination ports.
        destinations: Their destination addresses must match all of these.
        sure: All packets from outside to these ports and destinations reach the rule.
        named: A rule has matched these ports by number.
    """

    ports: tuple[PortSpan, ...]
    destinations: tuple[Network, ...] = ()
    sure: bool = True
    named: bool = False


def to(ports: PortRange) -> Reach:
    """Return all packets to a port range, of any protocol."""
    return Reach(tuple(PortSpan(protocol, ports.first, ports.last) for protocol in PROTOCOLS))


def only(reach: Reach, protocol: str) -> Reach:
    """Return the packets of one protocol."""
    return reach._replace(ports=tuple(ports for ports in reach.ports if ports.protocol == protocol))


def within(reach: Reach, spans: Iterable[tuple[int, int]]) -> Reach:
    """Return the packets to ports of these spans."""
    hit = (
        PortSpan(ports.protocol, max(ports.first, first), min(ports.last, last))
        for first, last in spans
        for ports in reach.ports
        if max(ports.first, first) <= min(ports.last, last)
    )
    return reach._replace(ports=tuple(hit), named=True)


def outside(reach: Reach, spans: Iterable[tuple[int, int]]) -> Reach:
    """Return the packets to ports outside these spans."""
    left = reach.ports
    for first, last in spans:
        left = tuple(rest for ports in left for rest in minus(ports, PortSpan(ports.protocol, first, last)))
    return reach._replace(ports=left)


def without(reach: Reach, taken: Reach) -> Reach:
    """Return the packets that go on to the next rule if every packet that a rule matches leaves the chain."""
    if taken.destinations != reach.destinations:
        return reach
    left = list(reach.ports)
    for gone in taken.ports:
        left = [rest for ports in left for rest in minus(ports, gone)]
    return reach._replace(ports=tuple(left))


def minus(ports: PortSpan, gone: PortSpan) -> Iterator[PortSpan]:
    """Yield the parts of some ports that remain without others."""
    if ports.protocol != gone.protocol or gone.last < ports.first or ports.last < gone.first:
        yield ports
        return
    if ports.first < gone.first:
        yield ports._replace(last=gone.first - 1)
    if gone.last < ports.last:
        yield ports._replace(first=gone.last + 1)
