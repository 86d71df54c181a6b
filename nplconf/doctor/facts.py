"""What `doctor` looks at: the node and the cluster, as they were read, before anybody judges them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nplconf.model import Backend, Family, Holds, IptablesKind, PortRange, Right


class Unknown(NamedTuple):
    """A fact that could not be read, and why: most often because of something that another check names.

    closed: another check says so: it is root's to read, and we are not root (`capabilities`), or nobody knows what
    is to be read (`config`). fix: "" where none is known.
    """

    why: str
    closed: bool = False
    fix: str = ""


class Iptables(NamedTuple):
    """The iptables of the node. hinted: the one that the kubelet uses; unreadable: what it said, by family."""

    installed: tuple[IptablesKind, ...]
    configured: str
    hinted: IptablesKind | None
    unreadable: Mapping[Family, str]


class Filter(NamedTuple):
    """One filter table, as iptables-save prints it: "iptables-nft" and its lines."""

    program: str
    family: Family
    lines: tuple[str, ...]


class Forwarding(NamedTuple):
    """What decides whether packets may pass the node. native: nftables chains that drop what they do not know.

    uplinks: devices of the default routes. pods: an address of a Pod, and the device that leads to it ("" unknown).
    """

    filters: tuple[Filter, ...]
    native: tuple[str, ...]
    uplinks: frozenset[str]
    pods: Mapping[Family, tuple[str, str]]


class Ports(NamedTuple):
    """The kernel's own use of numbers. outgoing: for connections. reserved: not for them. unprivileged: the first."""

    outgoing: PortRange
    reserved: tuple[PortRange, ...]
    unprivileged: int


class Unit(NamedTuple):
    """A unit as `systemctl show` tells it: "loaded", "enabled", "active" and their opposites."""

    load: str
    enabled: str
    active: str
    reload: bool


class Units(NamedTuple):
    """What is installed. missing, differing: paths, compared with what this nplconf would write."""

    missing: tuple[str, ...]
    differing: tuple[str, ...]
    states: Mapping[str, Unit]

    @property
    def waits_for_a_question(self) -> bool:
        """The hold daemon does not run, and whoever asks it would start it."""
        listens, daemon = (self.states[name].active for name in ("nplconf-hold.socket", "nplconf-hold.service"))
        return listens == "active" and daemon in ("inactive", "failed")


class Store(NamedTuple):
    """The hold daemon as systemd sees it: its process (0: none), and how many entries are kept for it."""

    pid: int
    entries: int


class LastSuccess(NamedTuple):
    """The last good run. age: seconds, None when it was before this boot. ever: there was one. timer: it is on."""

    age: float | None
    ever: bool
    timer: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything. served: numbers of live mappings.

    node_ports: (Service, what kind, number) that Services have at this node.
    antrea: (an agent runs, what removes its chain or "").
    """

    port_range: PortRange
    no_hold: bool
    capabilities: frozenset[str]
    """The missing ones."""
    iptables: Iptables
    leftovers: Mapping[Backend, tuple[Family, ...]] | Unknown
    forwarding: Forwarding | Unknown
    ip_forward: Mapping[Family, bool] = field(hash=False)
    """Of the families that Pods here have."""
    route_localnet: tuple[str, ...]
    """Devices where it is on."""
    ports: Ports
    holds: Holds | Unknown
    served: frozenset[int]
    store: Store | Unknown
    units: Units | Unknown
    last_success: LastSuccess | Unknown
    config: tuple[tuple[str, str], ...]
    """What is wrong, and what mends it."""
    node_ports: tuple[tuple[str, str, int], ...] | Unknown
    rights: tuple[Right, ...] | Unknown
    antrea: tuple[bool, str]
    datapath: tuple[str, bool | None] | None
