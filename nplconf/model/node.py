"""The node as it was read: rules, held ports, and which sources are masqueraded."""

from dataclasses import dataclass
from typing import NamedTuple

from nplconf.model.names import USUAL_PROTOCOLS, PortRange, Protocol
from nplconf.model.plan import RuleKey


class LiveRule(NamedTuple):
    """A DNAT rule of nplconf in the kernel. tag: its comment, which names the owner or has a hash of it."""

    key: RuleKey
    pod_ip: str
    pod_port: int
    tag: str
    source_ranges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """A port of the range that could not be bound. by: the process that has it ("nginx[812]"), where it is known."""

    number: int
    protocol: Protocol
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Holds:
    """The response of the hold daemon. A port is held if it lies in `ranges` and is not listed in `taken`.

    Attributes:
        available: False without a daemon, or without a valid response.
        ranges: The ports that the daemon holds.
        taken: Ports in these ranges that it could not bind.
        message: Why it is not available.
        probed: The ports were bound by this run (`--no-hold`), and there is no daemon.
        protocols: The protocols whose sockets are held.

    """

    available: bool
    ranges: tuple[PortRange, ...] = ()
    taken: tuple[Taken, ...] = ()
    message: str = ""
    probed: bool = False
    protocols: tuple[Protocol, ...] = USUAL_PROTOCOLS


class MasqueradeSource(NamedTuple):
    """Clients whose packets to a Pod are masqueraded, because the replies would not pass the node's conntrack.

    Attributes:
        pod_ip: The address of the Pod.
        source: The network (CIDR) of the clients; the address of the Pod itself for hairpin alone.

    """

    pod_ip: str
    source: str
