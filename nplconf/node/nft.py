"""Native nftables rules as the program `nft` lists them. Without `nft`, or without an answer, there are none.

iptables-nft stores its rules in nftables too, but it cannot list a chain that holds a native rule.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from nplconf.errors import NplconfError
from nplconf.model import Family
from nplconf.node import command
from nplconf.rules.iptables.table import BASES

DEADLINE = 10.0
"""Seconds for one listing."""
_STATEMENTS = ("masquerade", "snat", "dnat", "redirect", "vmap")
"""Statements that nft writes and iptables-nft never does."""
NAMES: dict[Family, str] = {"IPv4": "ip", "IPv6": "ip6"}
"""nftables' names of the families."""


def listed(*what: str) -> list[dict[str, Any]]:
    """Return the objects that `nft --json list WHAT` prints. Empty without an answer."""
    with contextlib.suppress(NplconfError, ValueError):
        done = command.run("nft", "--json", "list", *what, deadline=DEADLINE)
        answer = json.loads(done.text) if done.code == 0 else None
        found = answer.get("nftables") if isinstance(answer, dict) else None
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    return []


def expressions(family: Family, table: str, chain: str) -> list[list[dict[str, Any]]]:
    """Return the expressions of each rule in a chain, in order."""
    rules = (entry["rule"] for entry in listed("chain", NAMES[family], table, chain) if "rule" in entry)
    return [[part for part in rule.get("expr", ()) if isinstance(part, dict)] for rule in rules]


class NativeRule(NamedTuple):
    """A native nftables rule in a base chain of iptables-nft. place: "ip nat POSTROUTING"."""

    place: str
    text: str
    handle: int


def native_rules(family: Family) -> Iterator[NativeRule]:
    """Yield the native rules in the base chains of iptables-nft's nat table, as far as they can be recognised."""
    for chain in BASES:
        place = f"{NAMES[family]} nat {chain}"
        found = [entry["rule"] for entry in listed("chain", *place.split()) if "rule" in entry]
        handles = [rule.get("handle") for rule in found if _is_native(rule.get("expr", ()))]
        texts = _texts(place) if handles else {}
        yield from (NativeRule(place, texts[handle], handle) for handle in handles if handle in texts)


def _is_native(rule: Iterable[object]) -> bool:
    """Return whether nft wrote a rule. iptables-nft has a counter in each rule, and targets as "xt" expressions."""
    keys = {key for part in rule if isinstance(part, dict) for key in part}
    return "counter" not in keys or not keys.isdisjoint(_STATEMENTS)


def _texts(place: str) -> dict[int, str]:
    """Return the text of each rule in a chain as nft prints it, by handle."""
    with contextlib.suppress(NplconfError):
        lines = command.run("nft", "--handle", "list", "chain", *place.split(), deadline=DEADLINE).text.splitlines()
        pairs = (line.strip().rpartition(" # handle ") for line in lines)
        return {int(handle): text for text, _, handle in pairs if text and handle.isdigit()}
    return {}


def target(rule: list[dict[str, Any]]) -> str:
    """Return the chain that a rule jumps or goes to; "" without one."""
    found = (part.get("jump") or part.get("goto") for part in rule)
    return next((str(verdict.get("target", "")) for verdict in found if isinstance(verdict, dict)), "")
