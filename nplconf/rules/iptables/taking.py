"""Foreign rules that take packets to mapped ports before the jump of nplconf in PREROUTING or OUTPUT.

A rule can have any condition, and many cannot be judged here (an ipset, a mark, an interface). A rule that names a port
of the range counts, whatever else it matches. A rule that names none counts only if it takes every packet from outside.

Chains are read on demand: a walk returns the names of the chains that it needs, and is then repeated.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from nplconf.model import Family, PortRange
from nplconf.rules.foreign import ForeignRule, Network, distinct
from nplconf.rules.iptables.match import DEPTH, ENDS, GOES_ON, LOOPBACK, PORTS, Chains, Term, misses, parse
from nplconf.rules.reach import Reach, only, outside, to, within, without


class Origin(NamedTuple):
    """The table that rules belong to.

    In a table without the jump of nplconf, ACCEPT and RETURN take no packets: until a packet is translated, the kernel
    goes on to the next base chain of type nat.

    Attributes:
        program: "iptables-nft" or "iptables-legacy".
        family: The address family.
        has_jump: The base chain also has the jump of nplconf.
    """

    program: str
    family: Family
    has_jump: bool = True


class Taking(NamedTuple):
    """The result of a walk. unknown: chains that must be read for an answer."""

    rules: tuple[ForeignRule, ...]
    unknown: frozenset[str]


def taking(bases: Chains, chains: Chains, origin: Origin, ports: PortRange) -> Taking:
    """Return the rules that take packets to a port range.

    Args:
        bases: The text of each rule before the jump, by base chain: PREROUTING, and OUTPUT for the node's own
            packets.
        chains: The other chains that were read.
        origin: The table of the rules.
        ports: The port range of this node.
    """
    walk = _Walk(chains, origin, ports)
    for base, rules in bases.items():
        walk.local = base == "OUTPUT"
        walk.chain(base, rules, to(ports), 0)
    return Taking(distinct(walk.found), frozenset(walk.unknown))


class _Walk:
    """The traversal of chains by packets, and the rules found on it. local: the packets come from the node itself."""

    def __init__(self, chains: Chains, origin: Origin, ports: PortRange) -> None:
        self.found: list[ForeignRule] = []
        self.unknown: set[str] = set()
        self.local = False
        self._entered: set[tuple[str, Reach, int]] = set()
        self._chains, self._origin, self._ports = chains, origin, ports

    def chain(self, name: str, rules: Sequence[str], reach: Reach, depth: int) -> None:
        """Follow the rules of a chain, as far as packets of `reach` can get."""
        for text in rules:
            if misses(text, self._ports.first, self._ports.last):
                continue
            match = parse(text)
            judges = _LOCAL_JUDGES if self.local else _JUDGES
            hit = _narrowed(reach, match.terms, judges)
            if hit is None or match.target in GOES_ON:
                continue
            sure_here = _narrowed(reach._replace(sure=True), match.terms, judges)
            left = reach if sure_here is None or not sure_here.sure else without(reach, hit)
            if match.target in ENDS or match.target == "RETURN":
                if self._takes(match.target, depth):
                    self._take(name, text, hit, match.to)
                reach = left
            else:
                self._enter(match.target, hit, depth)
                reach = left if match.goto else reach
            if not reach.ports:
                return

    def _takes(self, target: str, depth: int) -> bool:
        if target == "RETURN":
            return self._origin.has_jump and depth == 0
        return self._origin.has_jump or target != "ACCEPT"

    def _enter(self, chain: str, reach: Reach, depth: int) -> None:
        if chain not in self._chains:
            self.unknown.add(chain)
        elif depth < DEPTH and (chain, reach, depth) not in self._entered:  # from OUTPUT mostly as from PREROUTING
            self._entered.add((chain, reach, depth))
            self.chain(chain, self._chains[chain], reach, depth + 1)

    def _take(self, chain: str, text: str, reach: Reach, to: str) -> None:
        if not (reach.sure or reach.named):
            return
        family, place = self._origin.family, f"{self._origin.program} {chain}"
        self.found += (
            ForeignRule(family, *ports, place, text, reach.destinations, to, self.local) for ports in reach.ports
        )


def _narrowed(reach: Reach, terms: Iterable[Term], judges: "Judges") -> Reach | None:
    """Return the part of a reach that a rule matches; None if it is empty."""
    for term in terms:
        judge = judges.get(term.name)
        judged = judge(reach, term) if judge else reach._replace(sure=False)
        if judged is None or not judged.ports:
            return None
        reach = judged
    return reach


# --- one condition each ----------------------------------------------------------------------------------------------


def _protocol(reach: Reach, term: Term) -> Reach | None:
    name = {"6": "tcp", "17": "udp", "132": "sctp"}.get(term.value, term.value)
    if name in ("all", "0"):
        return None if term.negated else reach
    others = tuple(ports for ports in reach.ports if ports.protocol != name)
    return reach._replace(ports=others) if term.negated else only(reach, name)


def _port(reach: Reach, term: Term) -> Reach | None:
    spans = [_span(part) for part in term.value.split(",")]
    if None in spans:
        return reach._replace(sure=False)
    known = tuple(filter(None, spans))
    return outside(reach, known) if term.negated else within(reach, known)


def _span(text: str) -> tuple[int, int] | None:
    first, _, last = text.partition(":")
    if not first.isdecimal() or not (last or first).isdecimal():
        return None
    return int(first), int(last or first)


def _destination(reach: Reach, term: Term) -> Reach | None:
    if term.value.startswith(LOOPBACK):
        return reach if term.negated else None
    return reach._replace(destinations=(*reach.destinations, Network(term.negated, term.value)))


def _source(reach: Reach, term: Term) -> Reach | None:
    if term.value.startswith(LOOPBACK):
        return reach if term.negated else None
    return reach._replace(sure=False)


def _device(reach: Reach, term: Term) -> Reach | None:
    if term.value == "lo":
        return reach if term.negated else None
    return reach._replace(sure=False)


def _to_local(reach: Reach, term: Term) -> Reach | None:
    return None if ("LOCAL" in term.value.split(",")) == term.negated else reach


def _from_local(reach: Reach, term: Term) -> Reach | None:
    if "LOCAL" in term.value.split(","):
        return reach if term.negated else None
    return reach._replace(sure=False)


def _state(reach: Reach, term: Term) -> Reach | None:
    """Judge a match on the conntrack state. The nat table sees only the first packet of a flow."""
    return None if ("NEW" in term.value.split(",")) == term.negated else reach


Judges = Mapping[str, Callable[[Reach, Term], Reach | None]]
_JUDGES: Judges = {
    "-p": _protocol,
    **dict.fromkeys(PORTS, _port),
    "-d": _destination,
    "-s": _source,
    "-i": _device,
    "--dst-type": _to_local,
    "--src-type": _from_local,
    "--ctstate": _state,
    "--state": _state,
    "--comment": lambda reach, _: reach,
}


def _out_device(reach: Reach, term: Term) -> Reach | None:
    return None if (term.value == "lo") == term.negated else reach


def _source_of_node(reach: Reach, term: Term) -> Reach | None:
    return None if ("LOCAL" in term.value.split(",")) == term.negated else reach


_LOCAL_JUDGES: Judges = {**_JUDGES, "-o": _out_device, "--src-type": _source_of_node}
"""A packet from the node to one of its own addresses leaves by lo."""
