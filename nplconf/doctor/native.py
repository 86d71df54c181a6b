"""Whether chains of nftables itself let a new, translated packet through to a Pod, as far as their rules tell. Pure.

As in `nplconf.doctor.forward`, a rule with a condition that cannot be judged is "maybe".
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from nplconf.model import FAMILIES, Family

Outcome = Literal["accept", "drop", "maybe", "continue"]
HOOKS = ("ingress", "prerouting", "forward")
OWN = frozenset(("filter", "nat", "mangle", "raw", "security"))
"""Tables of iptables-nft, which are read as those of iptables, as far as iptables can list them."""
SPAN: Mapping[str, frozenset[Family]] = {"ip": frozenset(("IPv4",)), "ip6": frozenset(("IPv6",))}
DEPTH = 32
PLAIN = frozenset(("counter", "log", "meta_set"))
"""Statements that decide nothing."""


class ForwardChain(NamedTuple):
    """A base chain that forwarded packets pass. place: "inet fw forward"."""

    place: str
    families: frozenset[Family]
    outcome: Outcome


Rules = Mapping[tuple[str, str, str], list[list[dict[str, Any]]]]


def chains(listed: Iterable[Mapping[str, Any]]) -> tuple[ForwardChain, ...]:
    """Return the base chains of a ruleset as `nft --json list ruleset` prints it, and what each does."""
    rules: dict[tuple[str, str, str], list[list[dict[str, Any]]]] = {}
    bases: list[Mapping[str, Any]] = []
    for entry in listed:
        if rule := entry.get("rule"):
            rules.setdefault((rule["family"], rule["table"], rule["chain"]), []).append(rule.get("expr", []))
        elif (chain := entry.get("chain")) and chain.get("hook") in HOOKS and chain.get("type") != "nat":
            bases.append(chain)
    return tuple(_judged(chain, rules) for chain in bases if not _of_iptables(chain, rules))


def _of_iptables(chain: Mapping[str, Any], rules: Rules) -> bool:
    """Return whether iptables-nft can list a chain: it is one of its tables, and holds no rule of nftables itself."""
    if chain["family"] not in SPAN or chain["table"] not in OWN or not str(chain["name"]).isupper():
        return False
    found = rules.get((chain["family"], chain["table"], chain["name"]), [])
    return all(any("counter" in part for part in rule) for rule in found)


def _judged(chain: Mapping[str, Any], rules: Rules) -> ForwardChain:
    key = (chain["family"], chain["table"], chain["name"])
    outcome = _walk(key, rules, chain["hook"], DEPTH)
    if outcome == "continue":
        outcome = "drop" if chain.get("policy") == "drop" else "accept"
    elif outcome == "maybe" and chain.get("policy") != "drop" and not _any_drop(key, rules):
        outcome = "accept"
    return ForwardChain(" ".join(key), SPAN.get(chain["family"], frozenset(FAMILIES)), outcome)


def _any_drop(key: tuple[str, str, str], rules: Rules) -> bool:
    """Return whether a chain, or one that it jumps to, can drop anything at all."""
    seen, todo = set[tuple[str, str, str]](), [key]
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        for rule in rules.get(here, ()):
            if any("drop" in part or "reject" in part or "vmap" in part for part in rule):
                return True
            todo += [(*key[:2], part[word]["target"]) for part in rule for word in ("jump", "goto") if word in part]
    return False


def _walk(key: tuple[str, str, str], rules: Rules, hook: str, depth: int) -> Outcome:
    """Return what becomes of the packet in a chain: a conditional drop before anything is sure makes it "maybe"."""
    unsure = False
    for rule in rules.get(key, ()) if depth else ():
        sure, end = _matches(rule, hook), _end(rule, key, rules, hook, depth)
        if sure == "no" or end == "continue":
            continue
        if sure == "yes" and end in ("accept", "drop"):
            return end if not unsure or end == "accept" else "maybe"
        unsure = unsure or end in ("accept", "drop", "maybe")
    return "maybe" if unsure else "continue"


def _end(rule: list[dict[str, Any]], key: tuple[str, str, str], rules: Rules, hook: str, depth: int) -> Outcome:
    for part in rule:
        if "accept" in part:
            return "accept"
        if "drop" in part or "reject" in part:
            return "drop"
        for word in ("jump", "goto"):
            if word in part:
                return _walk((*key[:2], part[word]["target"]), rules, hook, depth - 1)
        if "vmap" in part or "notrack" in part or "queue" in part:
            return "maybe"
    return "continue"


def _matches(rule: list[dict[str, Any]], hook: str) -> Literal["yes", "no", "maybe"]:
    fits = {_fits(part["match"], hook) for part in rule if "match" in part}
    return "no" if "no" in fits else "maybe" if "maybe" in fits else "yes"


def _fits(match: Mapping[str, Any], hook: str) -> Literal["yes", "no", "maybe"]:
    """Judge one condition: the state of the flow is known after prerouting, all else is not."""
    ct = match.get("left", {}).get("ct", {}) if isinstance(match.get("left"), Mapping) else {}
    words = match.get("right")
    values = (
        set(words.get("set", ())) if isinstance(words, Mapping) else set(words if isinstance(words, list) else [words])
    )
    known = {"status": {"dnat"}, "state": {"new"}}.get(ct.get("key", ""))
    if known is None or hook != "forward" or not all(isinstance(value, str) for value in values):
        return "maybe"
    hit = bool(values & known)
    return "yes" if hit != (match.get("op") == "!=") else "no"
