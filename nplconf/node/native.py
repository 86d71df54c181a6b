"""Foreign native nftables chains that see packets before the chains of nplconf: list them and read what is needed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import PortRange
from nplconf.node import foreign, libnftables, nft
from nplconf.rules.foreign import ForeignRule, distinct
from nplconf.rules.native import BaseChain, taking

DSTNAT = -100
"""The priority of iptables. At equal priorities the chain registered last comes first, so the order is not reliable."""
OWN = -80
"""The priority of the table `inet nplconf`."""
_NOT_NATIVE = re.compile(r"ip6? nat (PREROUTING|OUTPUT)|inet nplconf \S+")
"""The base chains of iptables-nft, and those of nplconf. Other chains in table nat are not iptables' own."""
_TABLE = re.compile(r"table (\S+) (\S+) {")
_CHAIN = re.compile(r"\tchain (\S+) {")
_BASE = re.compile(r"\t\ttype nat hook (prerouting|output) priority (-?\d+);")


def rules(ports: PortRange, last: int) -> tuple[ForeignRule, ...]:
    """Return the native rules that take packets to a port range. Empty if nftables does not answer.

    Args:
        ports: The port range.
        last: The highest priority of the base chains to look at.
    """
    try:
        listed = libnftables.ask("list chains\n")
    except (UnavailableError, PermissionDeniedError):
        return ()
    return distinct(rule for base in bases(listed, last) for rule in taken_in(base, ports))


def bases(listed: str, last: int) -> Iterator[BaseChain]:
    """Yield the native base chains of type nat in prerouting and output, from the output of `nft -n list chains`."""
    kind = table = chain = ""
    for line in listed.splitlines():
        if found := _TABLE.match(line):
            kind, table = found.groups()
        elif found := _CHAIN.match(line):
            chain = found[1]
        elif found := _BASE.match(line):
            native = not _NOT_NATIVE.fullmatch(f"{kind} {table} {chain}")
            if native and int(found[2]) <= last:
                yield BaseChain(kind, table, chain, local=found[1] == "output")


def taken_in(base: BaseChain, ports: PortRange) -> tuple[ForeignRule, ...]:
    """Return the rules from one base chain on that take packets to a port range; none where nft gives no answer."""
    try:
        return foreign.walked(partial(taking, base=base, ports=ports), partial(_read, base)).rules
    except (AttributeError, KeyError, TypeError, ValueError):  # JSON that no known version of nft prints
        return ()


def _read(base: BaseChain, names: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    return {name: _listed(base, *name.split(" ", 1)) for name in names}


def _listed(base: BaseChain, what: str, name: str) -> list[Any]:
    found = nft.listed(what, base.kind, base.table, name)
    if what == "chain":
        return [entry["rule"].get("expr", []) for entry in found if "rule" in entry]
    return [element for entry in found for element in entry.get(what, {}).get("elem", [])]
