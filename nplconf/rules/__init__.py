"""The interface between a run's decision and the kernel's rules.

A backend is a package beside this file. Its pure half offers the functions of `RuleBackend` over an opaque value: the
rules of one address family, as read or as wanted. Its other half is a driver in `nplconf.node` that reads and writes
this value on the machine (`node.RuleDriver`).

To add a backend: write the package, write its driver, and list the driver in `node.linux.DRIVERS`. `run` and `explain`
need no change. A backend may import `model`, `errors` and the modules beside this file, and no other backend.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from nplconf.model import Family, Finding, LiveRule, MasqueradeSource, PortMapping, PortRange, RuleKey

EVERYWHERE: dict[Family, str] = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}
HOST: dict[Family, str] = {"IPv4": "/32", "IPv6": "/128"}
"""The prefix length of a single address."""

R = TypeVar("R")
"""The rules of one address family. Only the backend looks into the value."""


class Part(NamedTuple):
    """Some mappings of one family, and the packets to their Pods that are masqueraded."""

    mappings: Sequence[PortMapping]
    sources: Iterable[MasqueradeSource] = ()


class RuleBackend(Protocol[R]):
    """The pure half of a backend: what its rules mean, and which rules are wanted."""

    def build(
        self,
        mappings: Iterable[PortMapping],
        addresses: Sequence[str],
        sources: Iterable[MasqueradeSource],
        ports: PortRange,
        family: Family,
    ) -> R:
        """Return the rules for these mappings of one family.

        Args:
            mappings: Those with `via` dnat, of this family.
            addresses: The node's addresses that clients may send to.
            sources: Whose packets are masqueraded.
            ports: The port range of this node.
            family: The address family.
        """

    def rebuild(self, earlier: R, gone: Part, new: Part, family: Family) -> R | None:
        """Return what `build` returns after some mappings were replaced. None: only `build` can say.

        Args:
            earlier: What `build` has returned for the mappings before.
            gone: The mappings that are no longer there. No other mapping has their places or their sources.
            new: The mappings in their stead.
            family: The address family.
        """

    def is_empty(self, found: R) -> bool:
        """Return whether a family has no rule of nplconf."""

    def live(self, found: R, family: Family, ports: Container[int] | None = None) -> tuple[LiveRule, ...]:
        """Return every DNAT rule of nplconf, sorted by key. A duplicate is listed twice.

        Args:
            found: The rules as read.
            family: Their address family.
            ports: Only these node ports; None for all.
        """

    def differs(self, found: R, want: R | None) -> bool:
        """Return whether there is anything to write. want: None if the family must have no rule."""

    def in_place(self, found: R, want: R | None, family: Family, advertised: str | None = None) -> frozenset[RuleKey]:
        """Return the keys of the wanted rules that a packet reaches.

        Args:
            found: The rules as read.
            want: The wanted rules.
            family: Their address family.
            advertised: The destination address of the packet; None: each of the node's addresses.
        """

    def findings(self, found: R, want: R | None, family: Family) -> tuple[Finding, ...]:
        """Return the faults that concern no single mapping. want: the rules for the mappings that are live."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[R]):
    """The rules of both families as read. unreadable: why a family could not be read."""

    found: Mapping[Family, R] = field(hash=False)
    unreadable: Mapping[Family, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Goal(Generic[R]):
    """The rules that a driver must reach.

    Attributes:
        have: The rules of each family to write, as read.
        build: Returns the rules of one family for some mappings of any; None if the family must have none.
        keep: Mappings that are live and stay.
        add: New and changed mappings. The kernel may refuse some of them.
    """

    have: Mapping[Family, R] = field(hash=False)
    build: Callable[[Family, Sequence[PortMapping]], R | None] = field(hash=False)
    keep: Sequence[PortMapping] = ()
    add: Sequence[PortMapping] = ()


@dataclass(frozen=True, slots=True)
class Synced(Generic[R]):
    """The rules of the kernel after a sync.

    Attributes:
        found: The rules of each family that was written, as read last.
        refused: Mappings that the kernel refused, each with the reason.
        errors: Other errors, each with its family.
    """

    found: Mapping[Family, R] = field(hash=False)
    refused: tuple[tuple[PortMapping, str], ...] = ()
    errors: tuple[tuple[Family, str], ...] = ()
