"""The table `inet nplconf` as values, one for each address family, parsed from nft's listing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from nplconf.model import FAMILIES, PROTOCOLS, Family
from nplconf.rules.nftables import element, frame
from nplconf.rules.nftables.element import Elements
from nplconf.rules.nftables.frame import Frame

Sets = Mapping[str, Elements]


@dataclass(frozen=True, slots=True)
class NftTable:
    """The part of the table that concerns one family.

    Attributes:
        frame: The chains and declarations of the whole table; empty without a table.
        sets: The elements of this family's sets, by name of the set.
        rest: The elements of the other family's sets.
        unknown: This family's sets with elements that nplconf would never write.
    """

    frame: Frame = field(default_factory=dict, hash=False)
    sets: Sets = field(default_factory=dict, hash=False)
    rest: Sets = field(default_factory=dict, hash=False)
    unknown: frozenset[str] = frozenset()

    @property
    def alone(self) -> bool:
        """Whether the other family has no element."""
        return not any(self.rest.values())

    @property
    def empty(self) -> bool:
        """Whether the family has nothing in the table. A table without elements is not empty, so that it is removed."""
        if not self.frame:
            return True
        return not any(self.sets.values()) and not self.unknown and not self.alone


_HEAD = re.compile(r"^\t([a-z]+) ([^\s{]+) \{$\n?", re.MULTILINE)
_ELEMENTS = "\t\telements = { "


def names(family: Family) -> tuple[str, ...]:
    """Return the names of one family's sets and maps."""
    kinds = (frame.ports, frame.restricted, frame.sources)
    of_protocols = (name(protocol, family) for protocol in PROTOCOLS for name in kinds)
    return (
        frame.addresses(family),
        frame.published(family),
        *of_protocols,
        frame.hairpin(family),
        frame.bridged(family),
    )


def read(text: str) -> dict[Family, NftTable]:
    """Return the table as each family sees it, from nft's listing. "": there is no table."""
    if not text:
        return {family: NftTable() for family in FAMILIES}
    found: dict[str, tuple[str, ...]] = {}
    sets: dict[str, Elements] = {}
    unknown: set[str] = set()
    outside = ""
    for block in text.split("\n\t}\n"):
        head = _HEAD.search(block)
        outside += block[: head.start()] if head else block
        if head is None:
            continue
        kind, name = head.groups()
        lines, _, listed = block[head.end() :].partition(_ELEMENTS)
        if listed:
            sets[name], other = element.parse(listed.removesuffix(" }"))
            unknown |= {name} if other else set()
        found[f"{kind} {name}"] = _lines(lines)
    found[""] = _lines(outside)[1:-1]  # between `table inet nplconf {` and its end
    return {family: _of(family, found, sets, unknown) for family in FAMILIES}


def _of(family: Family, found: Frame, sets: Sets, unknown: set[str]) -> NftTable:
    mine = names(family)
    own = {name: sets.get(name, {}) for name in mine}
    rest = {name: sets.get(name, {}) for other in FAMILIES if other != family for name in names(other)}
    return NftTable(found, own, rest, frozenset(unknown.intersection(mine)))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split("\n") if line.strip())
