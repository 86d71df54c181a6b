"""One iptables rule of ours as a value, and its text: one strict grammar for what is written and for what is read.

iptables itself is no validator: it reads `--dport 061000` as octal, and a newline in a quoted comment is a second command.
"""

import re
from dataclasses import dataclass

from nplconf.model import Family
from nplconf.rules.owner import SAFE

EVERYWHERE: dict[Family, str] = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}
HOST: dict[Family, str] = {"IPv4": "/32", "IPv6": "/128"}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule matches and where it leads. Addresses are CIDRs as iptables prints them, ports FIRST:LAST or one.

    target: a chain of ours, DNAT, MASQUERADE or RETURN. to: ADDRESS:PORT of a DNAT. local: only what the kernel would
    deliver here. translated: only flows that were DNATed. original, original_ports: where a flow was sent at first.
    """

    target: str
    goto: bool = False
    source: str = ""
    destination: str = ""
    protocol: str = ""
    ports: str = ""
    local: bool = False
    translated: bool = False
    original: str = ""
    original_ports: str = ""
    comment: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A rule in a chain of ours that we would never write. It equals nothing that we want, so it is replaced."""

    text: str


_PORT = r"(?:0|[1-9][0-9]{0,4})"
_ADDRESS = r"[0-9a-f.:]+/[0-9]+"
_RULE = re.compile(
    rf"(?:-s (?P<source>{_ADDRESS}) )?"
    rf"(?:-d (?P<destination>{_ADDRESS}) )?"
    r"(?:-p (?P<protocol>tcp|udp) "
    rf"(?:-m (?:tcp|udp) --dport (?P<ports>{_PORT}(?::{_PORT})?) )?)?"
    r"(?P<local>-m addrtype --dst-type LOCAL )?"
    r"(?P<translated>-m conntrack --ctstate DNAT )?"
    rf"(?:-m conntrack --ctorigdst (?P<original>[0-9a-f.:]+)(?:/[0-9]+)? --ctorigdstport (?P<original_ports>{_PORT}(?::{_PORT})?) )?"
    rf"(?:-m comment --comment \"?(?P<comment>{SAFE}+)\"? )?"
    r"-(?P<verb>[jg]) (?P<target>NPLCONF[A-Za-z0-9-]*|DNAT|MASQUERADE|RETURN)"
    rf"(?: --to-destination (?P<to>\[?[0-9a-f.:]+\]?:{_PORT}))?"
)


def parse(text: str) -> Rule | Unknown:
    """A rule from what stands behind `-A CHAIN ` in the output of iptables."""
    match = _RULE.fullmatch(text)
    if match is None:
        return Unknown(text)
    (source, destination, protocol, ports, local, translated, original, original_ports, comment, verb, target, to) = (
        match.groups("")
    )
    return Rule(
        target, verb == "g", source, destination, protocol, ports, bool(local), bool(translated), original, original_ports, comment, to
    )  # fmt: skip


def to_text(rule: Rule) -> str:
    """The rule as iptables prints it and as iptables-restore reads it, without `-A CHAIN `.

    Raises ValueError when the result is outside the grammar: nothing else ever reaches iptables.
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
    if rule.translated:
        words.append("-m conntrack --ctstate DNAT")
    if rule.original:
        words.append(f"-m conntrack --ctorigdst {rule.original} --ctorigdstport {rule.original_ports}")
    if rule.comment:
        words.append(f'-m comment --comment "{rule.comment}"')
    words.append(f"-{'g' if rule.goto else 'j'} {rule.target}")
    if rule.to:
        words.append(f"--to-destination {rule.to}")
    text = " ".join(words)
    if _RULE.fullmatch(text) is None:
        raise ValueError(f"not a rule that may be written: {text!r}")
    return text
