"""All that is ours in one family's nat table, as values: our chains, and what leads to them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from nplconf.rules.rule import Rule, Unknown, parse

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
_OURS = re.compile(r" -[jg] NPLCONF(?:-[A-Za-z0-9-]+)?(?: |\Z)")
_SERVICES = re.compile(r" -[jg] KUBE-SERVICES(?: |\Z)")

Place = Literal["right", "missing", "doubled", "moved", "foreign"]


@dataclass(frozen=True, slots=True)
class Base:
    """What is ours in a base chain. jumps: the text of each rule that leads to a chain of ours, in order."""

    jumps: tuple[str, ...] = ()
    place: Place = "missing"


@dataclass(frozen=True, slots=True)
class Table:
    """chains: our chains' rules by name. bases: PREROUTING, OUTPUT and POSTROUTING, as they were read."""

    chains: Mapping[str, tuple[Rule | Unknown, ...]] = field(default_factory=dict, hash=False)
    bases: Mapping[str, Base] = field(default_factory=dict, hash=False)

    @property
    def empty(self) -> bool:
        """Nothing is ours here."""
        return not self.chains and not any(base.jumps for base in self.bases.values())


def read(lines: Iterable[str]) -> Table:
    """A table from the output of `iptables -S` or `iptables-save`; lines that do not concern us are passed over."""
    chains: dict[str, list[Rule | Unknown]] = {}
    bases: dict[str, list[str]] = {name: [] for name in JUMPS}
    for line in lines:
        if line.startswith("-A NPLCONF"):
            _, name, text = line.split(" ", 2)
            chains.setdefault(name, []).append(parse(text))
        elif line.startswith("-A "):
            _, name, text = line.split(" ", 2)
            if name in bases:
                bases[name].append(text)
        elif line.startswith((":NPLCONF", "-N NPLCONF")):
            chains.setdefault(line.split()[0][1:] if line[0] == ":" else line.split()[1], [])
    return Table(
        {name: tuple(rules) for name, rules in chains.items()},
        {name: _base(name, rules) for name, rules in bases.items()},
    )


def _base(name: str, rules: list[str]) -> Base:
    ours = [i for i, text in enumerate(rules) if _OURS.search(" " + text)]
    jumps = tuple(rules[i] for i in ours)
    return Base(jumps, _place(name, rules, ours))


def _place(name: str, rules: list[str], ours: list[int]) -> Place:
    if not ours:
        return "missing"
    if any(rules[i] != JUMPS[name] for i in ours):
        return "foreign"
    if len(ours) > 1:
        return "doubled"
    if name == "POSTROUTING":
        return "right" if ours == [0] else "moved"
    behind = rules[ours[0] + 1 :]
    return "moved" if any(_SERVICES.search(" " + text) for text in behind) else "right"
