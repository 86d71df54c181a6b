"""Everything of nplconf in one family's nat table, as values: its chains, and the jumps to them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nplconf.rules.iptables.match import QUOTED, bare
from nplconf.rules.iptables.rule import CHAIN, ForeignText, Rule, parse

ENTRY = "NPLCONF"
POST = "NPLCONF-POST"
INDEX = "NPLCONF-INDEX"
"""A chain that no packet enters. It has one rule for each other chain of nplconf, so it lists all their names."""

JUMPS = {
    "PREROUTING": f"-j {ENTRY}",
    "OUTPUT": f"-j {ENTRY}",
    "POSTROUTING": f"-m conntrack --ctstate DNAT -j {POST}",
}
"""Base chain -> the jump of nplconf in it.

The first two are appended behind KUBE-SERVICES (CVE-2019-9946: a Pod must not take a Service's traffic). The last is
the first rule of its chain: behind a CNI's `-d podCIDR -j ACCEPT` it would never see a packet.
"""
BASES = (*JUMPS, "INPUT")
"""The base chains of the nat table. A jump in INPUT is a fault, and prevents the deletion of chains."""

Place = Literal["right", "missing", "doubled", "moved", "foreign"]


Rules = tuple[Rule | ForeignText, ...]
"""The rules of one chain, in order."""


@dataclass(frozen=True, slots=True)
class Base:
    """The state of a base chain.

    Attributes:
        jumps: The text of each rule that leads to a chain of nplconf, in order.
        ahead: The text of each foreign rule before the jump; of all foreign rules if the jump will be appended;
            None if iptables cannot list the chain.
    """

    jumps: tuple[str, ...]
    place: Place
    ahead: tuple[str, ...] | None = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class NatTable:
    """The nat table of one family.

    Attributes:
        chains: The rules of nplconf's chains, by name.
        bases: The base chains, by name.
    """

    chains: Mapping[str, Rules] = field(default_factory=dict, hash=False)
    bases: Mapping[str, Base] = field(default_factory=dict, hash=False)

    @property
    def empty(self) -> bool:
        """Whether the table has nothing of nplconf."""
        return not self.chains and not any(base.jumps for base in self.bases.values())


_NAME = re.compile(CHAIN)
_OURS = re.compile(rf" -[jg] {CHAIN}(?: |\Z)")
_SERVICES = re.compile(r" -[jg] KUBE-SERVICES(?: |\Z)")


def read(text: str) -> NatTable:
    """Parse the output of `iptables -S` or `iptables-save`. Lines that do not concern nplconf are ignored."""
    chains: dict[str, list[Rule | ForeignText]] = {}
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
    return NatTable(
        {name: tuple(rules) for name, rules in chains.items()},
        {name: _base(name, rules) for name, rules in bases.items()},
    )


def is_own(chain: str) -> bool:
    """Return whether a chain has a name of nplconf's chains."""
    return _NAME.fullmatch(chain) is not None


def unlisted(name: str, targets: Sequence[str] | None, *, there: bool) -> Base:
    """Return what is known of a base chain whose rules iptables cannot print.

    Args:
        name: The base chain.
        targets: The target of each of its rules, in order ("" without one); None: unknown.
        there: The jump of nplconf is in it.
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


def linked(table: NatTable) -> bool:
    """Return whether the index chain names every chain of nplconf, as far as the chains that were read can tell.

    If False, there may be others, and the whole table must be read.
    """
    named = {rule.target for rule in table.chains.get(INDEX, ()) if isinstance(rule, Rule)} | {INDEX}
    led_to = {rule.target for rules in table.chains.values() for rule in rules if isinstance(rule, Rule)}
    return named == set(table.chains) and {name for name in led_to if _NAME.fullmatch(name)} <= named


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a dump. A comment can contain a line break: then the line goes on until the quote ends.

    splitlines() would also split at characters that iptables prints unchanged.
    """
    held = ""
    for line in text.split("\n"):
        whole = f"{held}\n{line}" if held else line
        # without a backslash, a complete line has an even number of quotes
        if '"' in whole and ("\\" in whole or whole.count('"') % 2) and '"' in QUOTED.sub("", whole):
            held = whole
        else:
            held = ""
            yield whole


def _base(name: str, rules: list[str]) -> Base:
    # a chain name in a comment is no jump
    plain = [" " + bare(text) for text in rules]
    jumps = [i for i, text in enumerate(plain) if _OURS.search(text)]
    place = _place(name, rules, plain, jumps)
    end = jumps[0] if jumps and (place == "right" or name == "POSTROUTING") else len(rules)
    ahead = tuple(text for i, text in enumerate(rules[:end]) if i not in jumps)
    return Base(tuple(rules[i] for i in jumps), place, ahead)


def _place(name: str, rules: list[str], plain: list[str], jumps: list[int]) -> Place:
    if name not in JUMPS:
        return "foreign" if jumps else "right"
    if not jumps:
        return "missing"
    if any(rules[i] != JUMPS[name] for i in jumps):
        return "foreign"
    if len(jumps) > 1:
        return "doubled"
    if name == "POSTROUTING":
        return "right" if jumps == [0] else "moved"
    return "moved" if any(_SERVICES.search(text) for text in plain[jumps[0] + 1 :]) else "right"


def jumps() -> dict[str, Base]:
    """Return the wanted state of the base chains."""
    return {name: Base((JUMPS[name],) if name in JUMPS else (), "right") for name in BASES}
