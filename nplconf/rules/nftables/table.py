"""The table `inet nplconf` as values, one for each address family: the live one, or the wanted one."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from nplconf.model import FAMILIES, PROTOCOLS, Family
from nplconf.rules.nftables import frame
from nplconf.rules.nftables.element import Elements
from nplconf.rules.nftables.frame import TABLE, Frame

Sets = Mapping[str, Elements]


class Origin(NamedTuple):
    """The sets from which other sets were made, and the keys of the elements that were changed, by name of the set."""

    sets: Sets
    changed: Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class NftTable:
    """The part of the table that concerns one family.

    Attributes:
        frame: The chains and declarations of the whole table; empty without a table.
        sets: The elements of this family's sets, by name of the set.
        rest: The elements of the other family's sets.
        unknown: This family's sets with elements that nplconf would never write.
        generation: How many transactions the kernel had made when the table was read; 0 for a wanted table.
        origin: What a wanted table was made from; None: from nothing.
    """

    frame: Frame = field(default_factory=dict, hash=False)
    sets: Sets = field(default_factory=dict, hash=False)
    rest: Sets = field(default_factory=dict, hash=False)
    unknown: frozenset[str] = frozenset()
    generation: int = field(default=0, compare=False)
    origin: Origin | None = field(default=None, compare=False)

    def known_as(self, equal: "NftTable") -> "NftTable":
        """Return this table with the frame and sets of an equal one."""
        return replace(self, frame=equal.frame, sets=equal.sets)

    def after(self, changed: Sets, unknown: Collection[str], generation: int) -> "NftTable":
        """Return this table with other elements in some sets of either family.

        Args:
            changed: The elements of these sets.
            unknown: Those of them with elements that nplconf would never write.
            generation: See above.
        """
        sets, rest = (
            {name: changed.get(name, there) for name, there in part.items()} for part in (self.sets, self.rest)
        )
        left = self.unknown.difference(changed).union(sets.keys() & unknown)
        return replace(self, sets=sets, rest=rest, unknown=left, generation=generation)

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


_TABLE = re.compile(rf"^table {TABLE} {{.*?^}}", re.MULTILINE | re.DOTALL)
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


def frame_of(listed: str) -> Frame:
    """Return the chains and declarations of the table from nft's listing of a rule set; empty without the table."""
    table = _TABLE.search(listed)
    if table is None:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    outside = ""
    for block in table[0].split("\n\t}\n"):
        head = _HEAD.search(block)
        outside += block[: head.start()] if head else block
        if head is not None:
            kind, name = head.groups()
            # some versions of nft list elements in spite of -t
            lines, _, _ = block[head.end() :].partition(_ELEMENTS)
            found[f"{kind} {name}"] = _lines(lines)
    found[""] = _lines(outside)[1:-1]  # between `table inet nplconf {` and its end
    return found


def tables(found: Frame, sets: Sets, unknown: Collection[str] = (), generation: int = 0) -> dict[Family, NftTable]:
    """Return the table as each family sees it.

    Args:
        found: Its chains and declarations; empty without a table.
        sets: The elements of its sets, by name of the set.
        unknown: The sets with elements that nplconf would never write.
        generation: See `NftTable`.
    """
    if not found:
        return {family: NftTable(generation=generation) for family in FAMILIES}
    return {family: replace(_of(family, found, sets, unknown), generation=generation) for family in FAMILIES}


def _of(family: Family, found: Frame, sets: Sets, unknown: Collection[str]) -> NftTable:
    mine = names(family)
    own = {name: sets.get(name, {}) for name in mine}
    rest = {name: sets.get(name, {}) for other in FAMILIES if other != family for name in names(other)}
    return NftTable(found, own, rest, frozenset(mine).intersection(unknown))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split("\n") if line.strip())
