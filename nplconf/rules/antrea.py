"""The chain of an Antrea agent with NodePortLocal, as values. Pure.

The agent has one chain in table nat. Its rules have had the same form since version 0.13, without a comment: `-p tcp -m
tcp --dport 61002 -j DNAT --to-destination 10.244.3.17:8080`. Address and port identify the Pod port. Jumps to the chain
are in PREROUTING, and since 1.x also in OUTPUT. On Linux the agent never removes the chain or the jumps.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nplconf.model import PROTOCOLS, Family, Finding, IptablesKind, PortRange, Protocol
from nplconf.rules.iptables.match import ForeignMatch, parse
from nplconf.rules.iptables.table import rules_of

AGENT = "antrea-agent"
CHAIN = "ANTREA-NODE-PORT-LOCAL"
BASES = ("PREROUTING", "OUTPUT")
NAMED = 5
"""The most processes and sockets that a message names."""
DISABLE = "kubectl -n kube-system edit configmap antrea-config  # nodePortLocal.enable: false"
"""The command that switches NodePortLocal off in all agents. They read their configuration when they start."""


class AntreaRule(NamedTuple):
    """One rule of the chain: a node port that leads to a Pod's address and port."""

    number: int
    family: Family
    protocol: Protocol
    address: str
    port: int

    def __str__(self) -> str:
        six, address = ("6", f"[{self.address}]") if self.family == "IPv6" else ("", self.address)
        return f"{self.protocol}{six}/{self.number} to {address}:{self.port}"


class AntreaChain(NamedTuple):
    """The Antrea chain of one kind of iptables and family.

    Attributes:
        rules: Sorted, without duplicates.
        jumps: "BASE RULE" of each jump to the chain, as iptables prints it.
        unknown: The text of rules of another form.
    """

    kind: IptablesKind
    family: Family
    rules: tuple[AntreaRule, ...] = ()
    jumps: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The place of the chain, for messages."""
        return f"iptables-{self.kind} {self.family} {CHAIN}"


class Antrea(NamedTuple):
    """What exists of Antrea's NodePortLocal on a node.

    Attributes:
        processes: The agents ("antrea-agent[812]").
        sockets: Sockets that listen on ports of the chains ("tcp/61002 (antrea-agent[812])").
        chains: The chains that exist.
    """

    processes: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    chains: tuple[AntreaChain, ...] = ()

    @property
    def lives(self) -> bool:
        """Whether an Antrea agent manages node ports on this node."""
        return bool(self.processes or self.sockets)

    @property
    def signs(self) -> str:
        """The evidence of a live agent, for messages."""
        more = len(self.sockets) - NAMED
        names = [*self.processes[:NAMED], *(f"listening at {socket}" for socket in self.sockets[:NAMED])]
        return ", ".join(names) + (f" and {more:,} more sockets" if more > 0 else "")

    @property
    def rules(self) -> tuple[AntreaRule, ...]:
        """The rules of all chains, sorted, without duplicates."""
        return tuple(sorted({rule for chain in self.chains for rule in chain.rules}))


def read(kind: IptablesKind, family: Family, listing: str) -> AntreaChain | None:
    """Parse the chain from the output of `iptables -S` or `iptables-save`; None if it is missing."""
    if not any(line.startswith((f"-N {CHAIN}", f":{CHAIN} ")) for line in listing.splitlines()):
        return None
    found = rules_of(listing)
    known = {text: _rule(parse(text), family) for text in found.get(CHAIN, ())}
    return AntreaChain(
        kind,
        family,
        rules=tuple(sorted({rule for rule in known.values() if rule})),
        jumps=tuple(f"{base} {text}" for base in BASES for text in found.get(base, ()) if _leads_here(text)),
        unknown=tuple(text for text, rule in known.items() if rule is None),
    )


def _leads_here(text: str) -> bool:
    return parse(text).target == CHAIN


def _rule(match: ForeignMatch, family: Family) -> AntreaRule | None:
    terms: Mapping[str, str] = {term.name: term.value for term in match.terms if not term.negated}
    address, _, port = match.to.rpartition(":")
    protocol = next((known for known in PROTOCOLS if known == terms.get("-p")), None)
    number = terms.get("--dport", "")
    if match.target != "DNAT" or protocol is None or set(terms) != {"-p", "--dport"}:
        return None
    if not (number.isdecimal() and port.isdecimal() and _is_address(address.strip("[]"), family)):
        return None
    return AntreaRule(int(number), family, protocol, address.strip("[]"), int(port))


def _is_address(text: str, family: Family) -> bool:
    from ipaddress import ip_address  # late import: only needed if the chain exists

    try:
        return ip_address(text).version == (4 if family == "IPv4" else 6)
    except ValueError:
        return False


def live_agent(found: Antrea) -> str:
    """Return the message that blocks a run beside a live agent; "" without one."""
    if not found.lives:
        return ""
    return (
        f"an Antrea agent with NodePortLocal works on this node ({found.signs}): both would write the same annotations"
        " and use the same ports. Nothing was changed. Switch NodePortLocal off and restart the agent"
        f" ({DISABLE}), then: nplconf adopt. (--force: go on beside it)"
    )


def findings(chains: Iterable[AntreaChain], ports: PortRange) -> tuple[Finding, ...]:
    """Return one finding for each chain that an agent left behind."""
    return tuple(Finding("foreign", chain.place, _left(chain, ports)) for chain in chains)


def _left(chain: AntreaChain, ports: PortRange) -> str:
    outside = sum(rule.number not in ports for rule in chain.rules)
    count = f"{len(chain.rules) + len(chain.unknown)} rule{'s' * (len(chain.rules) + len(chain.unknown) != 1)}"
    beyond = f" ({outside} outside {ports})" if outside else ""
    return (
        f"an Antrea agent has left {count}{beyond} here; they keep ports open and may lead to other Pods. Take the"
        " numbers over and remove the chain: nplconf adopt"
    )
