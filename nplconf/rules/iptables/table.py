"""All that is ours in one family's nat table, as values: our chains, and what leads to them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nplconf.rules.iptables.match import QUOTED, bare
from nplconf.rules.iptables.rule import CHAIN, Rule, Unknown, parse

ENTRY = "NPLCONF"
POST = "NPLCONF-POST"
INDEX = "NPLCONF-INDEX"
"""Leads to every other chain of ours and is led to by none: who reads it knows all names."""

JUMPS = {
    "PREROUTING": f"-j {ENTRY}",
    "OUTPUT": f"-j {ENTRY}",
    "POSTROUTING": f"-m conntrack --ctstate DNAT -j {POST}",
}
"""Base chain -> the one rule of ours in it.

The first two are appended, behind KUBE-SERVICES (CVE-2019-9946: a Pod must not take a Service's traffic); the last is
the first of its chain, as behind a CNI's `-d podCIDR -j ACCEPT` it would never see a packet.
"""
BASES = (*JUMPS, "INPUT")
"""The base chains of the nat table. A jump to us from INPUT is a mistake, and keeps our chains from being deleted."""

Place = Literal["right", "missing", "doubled", "moved", "foreign"]


@dataclass(frozen=True, slots=True)
class Base:
    """What is ours in a base chain. jumps: the text of each rule that leads to a chain of ours, in order.

    ahead: the text of each rule of others before the jump; of all of them where the jump will be appended; None where
    iptables cannot list the chain.
    """

    jumps: tuple[str, ...]
    place: Place
    ahead: tuple[str, ...] | None = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """chains: our chains' rules by name. bases: the base chains, as they were read."""

    chains: Mapping[str, tuple[Rule | Unknown, ...]] = field(default_factory=dict, hash=False)
    bases: Mapping[str, Base] = field(default_factory=dict, hash=False)

    @property
    def empty(self) -> bool:
        """Nothing is ours here."""
        return not self.chains and not any(base.jumps for base in self.bases.values())


_NAME = re.compile(CHAIN)
_OURS = re.compile(rf" -[jg] {CHAIN}(?: |\Z)")
_SERVICES = re.compile(r" -[jg] KUBE-SERVICES(?: |\Z)")


def read(text: str) -> Table:
    """A table from the output of `iptables -S` or `iptables-save`; what does not concern us is passed over."""
    chains: dict[str, list[Rule | Unknown]] = {}
    bases: dict[str, list[str]] = {name: [] for name in BASES}
    for line in _lines(text):
        if line.startswith("-A "):
            name, _, rule = line[3:].partition(" ")
            if name in chains:
                chains[name].append(parse(rule))
            elif name in bases:
                bases[name].append(rule)
            elif _NAME.fullmatch(name):
                chains[name] = [parse(rule)]
        elif line.startswith((":NPLCONF", "-N NPLCONF")):
            name = line[1:].split()[0] if line[0] == ":" else line[3:]
            if _NAME.fullmatch(name):
                chains.setdefault(name, [])
    return Table(
        {name: tuple(rules) for name, rules in chains.items()},
        {name: _base(name, rules) for name, rules in bases.items()},
    )


def is_own(chain: str) -> bool:
    """Return whether a chain has a name of ours."""
    return _NAME.fullmatch(chain) is not None


def unlisted(name: str, targets: Sequence[str] | None, *, there: bool) -> Base:
    """Return what is known of a base chain whose rules iptables cannot print.

    Args:
        name: the base chain.
        targets: where each of its rules leads, in order ("" for one that leads to no chain); None: unknown.
        there: our jump is in it.

    """
    if name not in JUMPS:
        return Base((), "right", None)
    if not there:
        return Base((), "missing", None)
    places = [i for i, target in enumerate(targets or ()) if is_own(target)]
    if targets is None or not places:
        return Base((JUMPS[name],), "right", None)
    jumps = (JUMPS[name],) * len(places)
    if len(places) > 1:
        return Base(jumps, "doubled", None)
    late = places != [0] if name == "POSTROUTING" else "KUBE-SERVICES" in (targets or ())[places[0] :]
    return Base(jumps, "moved" if late else "right", None)


def rules_of(text: str) -> dict[str, tuple[str, ...]]:
    """Return the rules of each chain as text, from the output of `iptables -S` or `iptables-save`."""
    found: dict[str, list[str]] = {}
    for line in _lines(text):
        if line.startswith("-A "):
            name, _, rule = line[3:].partition(" ")
            found.setdefault(name, []).append(rule)
    return {name: tuple(rules) for name, rules in found.items()}


def linked(table: Table) -> bool:
    """Whether the index names every chain of ours that is there, as far as the chains that were read can tell.

    False: there may be others, and the whole table must be looked through.
    """
    named = {rule.target for rule in table.chains.get(INDEX, ()) if isinstance(rule, Rule)} | {INDEX}
    led_to = {rule.target for rules in table.chains.values() for rule in rules if isinstance(rule, Rule)}
    return named == set(table.chains) and {name for name in led_to if _NAME.fullmatch(name)} <= named


def _lines(text: str) -> Iterator[str]:
    """The lines of a dump. A comment can hold any character, also a line's end: then it goes on until the quote ends.

    Not splitlines(), which would end a line at characters that iptables prints as they are.
    """
    held = ""
    for line in text.split("\n"):
        whole = f"{held}\n{line}" if held else line
        # without a backslash, quotes come in pairs in a whole line
        if '"' in whole and ("\\" in whole or whole.count('"') % 2) and '"' in QUOTED.sub("", whole):
            held = whole
        else:
            held = ""
            yield whole


def _base(name: str, rules: list[str]) -> Base:
    # what a comment says leads nowhere
    plain = [" " + bare(text) for text in rules]
    ours = [i for i, text in enumerate(plain) if _OURS.search(text)]
    place = _place(name, rules, plain, ours)
    end = ours[0] if ours and (place == "right" or name == "POSTROUTING") else len(rules)
    ahead = tuple(text for i, text in enumerate(rules[:end]) if i not in ours)
    return Base(tuple(rules[i] for i in ours), place, ahead)


def _place(name: str, rules: list[str], plain: list[str], ours: list[int]) -> Place:
    if name not in JUMPS:
        return "foreign" if ours else "right"
    if not ours:
        return "missing"
    if any(rules[i] != JUMPS[name] for i in ours):
        return "foreign"
    if len(ours) > 1:
        return "doubled"
    if name == "POSTROUTING":
        return "right" if ours == [0] else "moved"
    return "moved" if any(_SERVICES.search(text) for text in plain[ours[0] + 1 :]) else "right"


def jumps() -> dict[str, Base]:
    """The base chains as they must be."""
    return {name: Base((JUMPS[name],) if name in JUMPS else (), "right") for name in BASES}
