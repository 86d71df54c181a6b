"""A foreign rule as iptables prints it: its matches and its target. Such rules are never written."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PORTS = re.compile(r"(! )?--dports? (\d+)(?::(\d+))?(?= |\Z)")
PORTS = ("--dport", "--dports", "--destination-port", "--destination-ports")
GOES_ON = {"", "MARK", "CONNMARK", "LOG", "NFLOG", "ULOG", "TRACE", "TEE", "SET", "AUDIT", "CLASSIFY", "DSCP", "TOS"}
GOES_ON |= {"CT", "IDLETIMER", "NOTRACK", "SECMARK", "CONNSECMARK", "RATEEST", "HMARK", "TTL", "HL", "CHECKSUM"}
GOES_ON |= {"NFQUEUE"}
"""Targets after which a packet goes on to the next rule; "": a rule without a target."""
ENDS = {"ACCEPT", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "DROP", "REJECT", "SAME", "FULLCONENAT", "QUEUE"}
"""Targets that end the traversal for a packet. Any other target is a chain."""
LOOPBACK = ("127.", "::1")
"""Prefixes of loopback addresses. No packet from outside has one."""
DEPTH = 8
"""The most nested chains that are followed."""
Chains = Mapping[str, Sequence[str]]
"""The text of each rule by chain name. A name without rules: it cannot be read, or is no chain."""


class Term(NamedTuple):
    """One option of a rule.

    Attributes:
        name: As printed ("--dport").
        value: Its words; "" for an option without any.
    """

    name: str
    negated: bool
    value: str


class ForeignMatch(NamedTuple):
    """A foreign rule.

    Attributes:
        terms: Its matches.
        target: A target extension or a chain name; "" without one.
        goto: The rule has `-g`.
        to: ADDRESS:PORT of a DNAT.
    """

    terms: tuple[Term, ...]
    target: str
    goto: bool
    to: str = ""


def bare(text: str) -> str:
    """Return a rule without the content of its quotes, since comments have no effect."""
    return QUOTED.sub('""', text) if '"' in text else text


def parse(text: str) -> ForeignMatch:
    """Parse the part of a line after `-A CHAIN `."""
    words = bare(text).split()
    for place, word in enumerate(words):
        if word in ("-j", "-g"):
            target, *rest = words[place + 1 :] or [""]
            to = rest[1] if rest[:1] == ["--to-destination"] and len(rest) > 1 else ""
            return ForeignMatch(tuple(_terms(words[:place])), target, word == "-g", to)
    return ForeignMatch(tuple(_terms(words)), "", goto=False)


def _terms(words: list[str]) -> Iterator[Term]:
    name, negated, values = "", False, list[str]()
    turned = False
    for word in (*words, "-"):
        if word == "!":
            turned = True
        elif word.startswith("-"):
            if name not in ("", "-m"):
                yield Term(name, negated, " ".join(values))
            name, negated, values, turned = word, turned, [], False
        else:
            values.append(word)


def misses(text: str, first: int, last: int) -> bool:
    """Return whether a rule names ports and none of a range. It costs only one search."""
    found = _PORTS.search(bare(text))
    return found is not None and not found[1] and (int(found[2]) > last or int(found[3] or found[2]) < first)
