"""Read a nat table that iptables-nft cannot list as a whole, because it has native nftables rules.

One `nft add rule ip nat POSTROUTING masquerade` is enough: iptables-nft-save then prints nothing, and `-S POSTROUTING`
fails. Every other chain can still be listed alone, and all chains can be written. So chains are listed one by one where
necessary. For a base chain that cannot be listed, `-C` tells whether the jump exists.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from nplconf.errors import UnavailableError
from nplconf.rules.iptables.rule import Rule
from nplconf.rules.iptables.table import BASES, ENTRY, INDEX, JUMPS, POST, Base, NatTable, is_own, unlisted
from nplconf.rules.iptables.table import read as parse

Listing = Callable[[Sequence[str]], str | None]
"""Lists chains in one call. None if one of them is missing or cannot be listed."""
Targets = Callable[[str], list[str] | None]
"""Returns the target of each rule in a base chain ("" without one); None if unknown."""
HasJump = Callable[[str], bool]
"""Returns whether the jump of nplconf exists in a base chain."""


def read(listing: Listing, has_jump: HasJump, targets: Targets) -> NatTable:
    """Return all rules of nplconf that a packet can reach.

    A chain of nplconf that cannot be listed counts as missing, so it is written again.

    Raises:
        UnavailableError: No base chain can be listed.
    """
    bases = listed(listing, BASES)
    if not bases:
        raise UnavailableError("no chain of the nat table can be listed")
    table = parse("".join((*bases.values(), *_own(listing))))
    hidden = {name: _hidden(name, has_jump, targets) for name in BASES if name not in bases}
    return replace(table, bases={**table.bases, **hidden})


def listed(listing: Listing, names: Sequence[str]) -> dict[str, str]:
    """Return the listing of each chain, by the first name of those that were listed together."""
    if not names:
        return {}
    text = listing(names)
    if text is not None:
        return dict.fromkeys(names, "") | {names[0]: text}
    if len(names) == 1:
        return {}
    half = len(names) // 2
    return listed(listing, names[:half]) | listed(listing, names[half:])


def _own(listing: Listing) -> Iterable[str]:
    """Yield the listings of nplconf's chains: those in the index chain, and those that their rules lead to."""
    known: set[str] = set()
    names: list[str] = [INDEX, ENTRY, POST]
    while names:
        known.update(names)
        text = "".join(listed(listing, names).values())
        yield text
        rules = (rule for chain in parse(text).chains.values() for rule in chain if isinstance(rule, Rule))
        names = [name for name in dict.fromkeys(rule.target for rule in rules) if is_own(name) and name not in known]


def _hidden(name: str, has_jump: HasJump, targets: Targets) -> Base:
    there = name in JUMPS and has_jump(name)
    return unlisted(name, targets(name), there=there)
