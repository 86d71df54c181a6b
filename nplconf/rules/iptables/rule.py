"""An iptables rule of nplconf as a value and as text: one strict grammar for writing and reading.

iptables does not validate: it reads `--dport 061000` as octal, and a newline in a quoted comment begins a second
command.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from nplconf.rules.grammar import BITS4, BITS6, IPV4, IPV6, PORT
from nplconf.rules.owner import SAFE


class Rule(NamedTuple):
    """A rule of nplconf. A NamedTuple for speed: a full node has 10,000.

    Attributes:
        target: A chain of nplconf, DNAT, MASQUERADE, RETURN, or ACCEPT (of unmarked packets).
        goto: The rule has `-g`.
        source: A CIDR as iptables prints it.
        destination: The same.
        ports: FIRST:LAST, or one port.
        local: Only packets that the kernel would deliver to this machine.
        original: The original destination address of the flow.
        original_ports: Its original destination port, as `ports`.
        comment: The owner tag.
        to: ADDRESS:PORT of a DNAT.
    """

    target: str
    goto: bool = False
    source: str = ""
    destination: str = ""
    protocol: str = ""
    ports: str = ""
    local: bool = False
    original: str = ""
    original_ports: str = ""
    comment: str = ""
    to: str = ""


class ForeignText(NamedTuple):
    """A rule in a chain of nplconf that nplconf would never write. It equals no wanted rule, so it is replaced."""

    text: str


UNMARKED = "-m mark --mark 0x0/0x6000"
"""Neither kube-proxy (0x4000) nor portmap (0x2000) masquerades the packet. Both marks are the defaults."""
_KEEP = f"{UNMARKED} -j ACCEPT"
CHAIN = r"NPLCONF(?:-[A-Za-z0-9]+)*"
"""The chain names of nplconf. iptables allows 28 characters."""
_PORTS = rf"{PORT}(?::{PORT})?"
_NETWORK = rf"(?:{IPV4}/{BITS4}|{IPV6}/{BITS6})"
_RULE = re.compile(
    rf"(?:-s (?P<source>{_NETWORK}) )?"
    rf"(?:-d (?P<destination>{_NETWORK}) )?"
    r"(?:-p (?P<protocol>tcp|udp|sctp) "
    rf"(?:-m (?P=protocol) --dport (?P<ports>{_PORTS}) )?)?"
    r"(?P<local>-m addrtype --dst-type LOCAL )?"
    rf"(?:-m conntrack --ctorigdst (?P<original>{IPV4}|{IPV6})(?:/32|/128)? "
    rf"--ctorigdstport (?P<original_ports>{_PORTS}) )?"
    rf"(?:-m comment --comment (?P<quote>\"?)(?P<comment>{SAFE}+)(?P=quote) )?"
    rf"(?:-(?P<verb>[jg]) (?P<chain>{CHAIN})|-j (?P<end>RETURN|MASQUERADE)|{UNMARKED} -j (?P<keep>ACCEPT)"
    rf"|-j DNAT --to-destination (?P<to>{IPV4}:{PORT}|\[{IPV6}\]:{PORT}))"
)


@lru_cache(maxsize=1 << 17)
def parse(text: str) -> Rule | ForeignText:
    """Parse the part of a line after `-A CHAIN ` in iptables' output. Cached: each table is read twice in a run."""
    match = _RULE.fullmatch(text)
    if match is None:
        return ForeignText(text)
    source, destination, protocol, ports, local, original, at, _, comment, verb, chain, end, keep, to = match.groups("")
    target, goto = chain or end or keep or "DNAT", verb == "g"
    return Rule(target, goto, source, destination, protocol, ports, bool(local), original, at, comment, to)


def to_text(rule: Rule) -> str:
    """Return the rule as iptables prints it and iptables-restore reads it, without `-A CHAIN `.

    Raises:
        ValueError: The result is outside the grammar. Nothing else ever reaches iptables.
    """
    words = []
    if rule.source:
        words.append(f"-s {rule.source}")
    if rule.destination:
        words.append(f"-d {rule.destination}")
    if rule.protocol:
        words.append(f"-p {rule.protocol}")
    if rule.ports:
        words.append(f"-m {rule.protocol} --dport {rule.ports}")
    if rule.local:
        words.append("-m addrtype --dst-type LOCAL")
    if rule.original or rule.original_ports:
        words.append(f"-m conntrack --ctorigdst {rule.original} --ctorigdstport {rule.original_ports}")
    if rule.comment:
        words.append(f'-m comment --comment "{rule.comment}"')
    words.append(_KEEP if rule.target == "ACCEPT" and not rule.goto else f"-{'g' if rule.goto else 'j'} {rule.target}")
    if rule.to:
        words.append(f"--to-destination {rule.to}")
    text = " ".join(words)
    if _RULE.fullmatch(text) is None:
        raise ValueError(f"not a rule that may be written: {text!r}")
    return text


def span(first: int, last: int) -> str:
    """Return a range of ports as iptables prints it."""
    return str(first) if first == last else f"{first}:{last}"
