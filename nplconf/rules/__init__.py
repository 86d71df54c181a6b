"""The seam between what a run decides and the rules of the kernel.

A backend is a package beside this file. Its pure half offers the functions of `RuleBackend` over a value that only this
backend looks into: the rules of one address family, as they were read, or as they must be. Its other half is a driver
in `nplconf.node` that reads and writes this value on the machine (`node.RuleDriver`).

To add a backend: write the package, write its driver, list the driver in `node.linux.DRIVERS`. `run` and
`explain` need no change. A backend may import `model`, `errors` and the modules beside this file, and no other backend.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from nplconf.model import Family, Finding, LiveRule, MasqueradeSource, PortMapping, PortRange, RuleKey

EVERYWHERE: dict[Family, str] = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}
HOST: dict[Family, str] = {"IPv4": "/32", "IPv6": "/128"}
"""The prefix length of a single address."""

R = TypeVar("R")
"""The value in which a backend keeps the rules of one address family."""


class RuleBackend(Protocol[R]):
    """The pure half of a backend: what its rules say, and what they must be."""

    def build(
        self,
        mappings: Iterable[PortMapping],
        addresses: Sequence[str],
        sources: Iterable[MasqueradeSource],
        ports: PortRange,
        family: Family,
    ) -> R:
        """Return the rules that serve these mappings of one family.

        Args:
            mappings: those with `via` dnat, of this family.
            addresses: the node's addresses that clients may send to.
            sources: whose packets are masqueraded.
            ports: the port range of this node.
            family: the address family.

        """

    def is_empty(self, found: R) -> bool:
        """Return whether a family has no rule of this program."""

    def live(self, found: R, family: Family, ports: Container[int] | None = None) -> tuple[LiveRule, ...]:
        """Return every DNAT rule, or those of certain node ports, sorted by key. Duplicates are listed twice."""

    def differs(self, found: R, want: R | None) -> bool:
        """Return whether there is anything to write. want: None where the family must have no rule."""

    def in_place(self, found: R, want: R | None, family: Family, advertised: str | None = None) -> frozenset[RuleKey]:
        """Return the keys of the wanted rules that a packet reaches.

        advertised: the destination address of the packet; None: each of the node's addresses.
        """

    def findings(self, found: R, want: R | None, family: Family) -> tuple[Finding, ...]:
        """Return what is wrong beside the mappings themselves. want: the rules for the mappings that are live."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[R]):
    """The rules of both families as they were read. unreadable: why a family could not be read."""

    found: Mapping[Family, R] = field(hash=False)
    unreadable: Mapping[Family, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Goal(Generic[R]):
    """What a driver must reach.

    Attributes:
        have: the rules of each family to write, as they were read.
        build: the rules for some mappings of one family; None where the family must have none.
        keep: mappings that are live and stay.
        add: new and changed mappings. The kernel may refuse some of them.

    """

    have: Mapping[Family, R] = field(hash=False)
    build: Callable[[Family, Sequence[PortMapping]], R | None] = field(hash=False)
    keep: Sequence[PortMapping] = ()
    add: Sequence[PortMapping] = ()


@dataclass(frozen=True, slots=True)
class Synced(Generic[R]):
    """What the kernel has after a sync.

    Attributes:
        found: the rules of each family that was written, as they were read last.
        refused: mappings that the kernel did not take, each with the reason.
        errors: what else went wrong, by family.

    """

    found: Mapping[Family, R] = field(hash=False)
    refused: tuple[tuple[PortMapping, str], ...] = ()
    errors: tuple[tuple[Family, str], ...] = ()
