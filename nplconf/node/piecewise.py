"""A nat table that iptables-nft cannot list as a whole, because somebody has put native nftables rules into it.

`nft add rule ip nat POSTROUTING masquerade` is enough: iptables-nft-save then prints nothing, and `-S POSTROUTING`
fails. Every other chain can still be listed by itself, and all can be written. So each chain is listed alone where it
must be, and of a base chain that cannot be listed it is asked whether our jump is there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from nplconf.errors import UnavailableError
from nplconf.rules.iptables.rule import Rule
from nplconf.rules.iptables.table import BASES, ENTRY, INDEX, JUMPS, POST, Base, Table, is_own, unlisted
from nplconf.rules.iptables.table import read as parse

Listing = Callable[[Sequence[str]], str | None]
"""Lists chains in one call; None when one of them is missing or cannot be listed."""
Targets = Callable[[str], list[str] | None]
"""Where each rule of a base chain leads ("": nowhere); None when nobody can tell."""
HasJump = Callable[[str], bool]
"""Whether our jump is in a base chain."""


def read(listing: Listing, has_jump: HasJump, targets: Targets) -> Table:
    """Return all of our rules that a packet can reach. Raises UnavailableError when no base chain can be listed.

    A chain of ours that cannot be listed is as good as missing: it is written again.
    """
    bases = listed(listing, BASES)
    if not bases:
        raise UnavailableError("no chain of the nat table can be listed")
    table = parse("".join((*bases.values(), *_own(listing))))
    hidden = {name: _hidden(name, has_jump, targets) for name in BASES if name not in bases}
    return replace(table, bases={**table.bases, **hidden})


def listed(listing: Listing, names: Sequence[str]) -> dict[str, str]:
    """The listing of each chain that has one, by the first name of those that were listed together."""
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
    """The listings of our chains: those that the index names, and those that others of them lead to."""
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
