"""The dispatch tree, in which a packet traverses a few dozen rules for any of 10,000 mappings.

A change rewrites one leaf. A chain covers an aligned block of ports and has up to sixteen children. Its name ends with
the first digits of the port in hexadecimal: tcp/61000 is 0xEE48, found through NPLCONF-TCP, -TCP-E, -TCP-EE in the leaf
NPLCONF-TCP-EE4.
"""

from collections.abc import Container, Iterable, Mapping
from collections.abc import Sequence as SequenceOf

from nplconf.model import (
    PROTOCOLS,
    USUAL_PROTOCOLS,
    Family,
    Finding,
    LiveRule,
    MasqueradeSource,
    PortMapping,
    PortRange,
    Protocol,
    RuleKey,
)
from nplconf.rules import EVERYWHERE, HOST, Part, owner
from nplconf.rules.iptables import masquerade
from nplconf.rules.iptables.rule import ForeignText, Rule, span
from nplconf.rules.iptables.table import ENTRY, INDEX, JUMPS, POST, NatTable, jumps

LOOPBACK: dict[Family, str] = {"IPv4": "127.0.0.0/8", "IPv6": "::1/128"}
Rules = tuple[Rule | ForeignText, ...]


def build(
    mappings: Iterable[PortMapping],
    addresses: SequenceOf[str],
    sources: Iterable[MasqueradeSource],
    ports: PortRange,
    family: Family,
) -> NatTable:
    """See `rules.RuleBackend`."""
    rows = sorted(mappings, key=lambda m: m.key)
    served = _served(rows)
    found: dict[str, list[Rule]] = {root(protocol): [] for protocol in served}
    leaves: dict[tuple[Protocol, int], list[Rule]] = {}
    for mapping in rows:
        place = (mapping.protocol, mapping.node_port >> 4)
        leaf = leaves.get(place)
        if leaf is None:
            leaf = leaves[place] = _leaf(found, mapping.protocol, mapping.node_port)
        if mapping.source_ranges:
            _guard(found, leaf, mapping)
        else:
            leaf.append(dnat(mapping))
    chains: dict[str, Rules] = {name: tuple(rules) for name, rules in found.items()}
    chains |= masquerade.chains(sources, addresses, ports, POST, family)
    chains[ENTRY] = _entry(addresses, family, served)
    chains[INDEX] = tuple(Rule(name, goto=True) for name in sorted(chains))
    return NatTable(chains, jumps())


def rebuild(_earlier: NatTable, _gone: Part, _new: Part, _family: Family) -> None:
    """See `rules.RuleBackend`. A chain has the rules of several mappings, so `build` makes all rules."""


def root(protocol: Protocol) -> str:
    """Return the name of the chain through which a protocol's packets enter the tree."""
    return f"{ENTRY}-{protocol.upper()}"


def _served(mappings: Iterable[PortMapping]) -> tuple[Protocol, ...]:
    """Return the protocols that have a tree. SCTP, which few nodes use, has one only with a mapping."""
    wanted = {*USUAL_PROTOCOLS, *(mapping.protocol for mapping in mappings)}
    return tuple(protocol for protocol in PROTOCOLS if protocol in wanted)


def _entry(addresses: Iterable[str], family: Family, protocols: Iterable[Protocol]) -> Rules:
    """Return the entry chain: packets to an address of the node that do not come from a loopback address.

    The answer to a loopback address would never leave the node.
    """
    roots = [(root(protocol), protocol) for protocol in protocols]
    gates = [
        Rule(name, goto=True, destination=address + HOST[family], protocol=protocol, local=True)
        for address in addresses
        for name, protocol in roots
    ]
    return (Rule("RETURN", source=LOOPBACK[family]), *gates)


def _leaf(found: dict[str, list[Rule]], protocol: Protocol, number: int) -> list[Rule]:
    """Return the chain of the sixteen ports around one, created with the rules that lead to it.

    Ports come in ascending order.
    """
    digits = f"{number:04X}"
    chain = root(protocol)
    for depth in (1, 2, 3):
        child = f"{root(protocol)}-{digits[:depth]}"
        if child not in found:
            size = 16 ** (4 - depth)
            first = number // size * size
            found[child] = []
            found[chain].append(Rule(child, goto=True, protocol=protocol, ports=span(first, first + size - 1)))
        chain = child
    return found[chain]


def _guard(found: dict[str, list[Rule]], leaf: list[Rule], mapping: PortMapping) -> None:
    """Put a chain in front of a mapping's rule that lets only certain sources pass."""
    guard, served = _guarded(mapping.key)
    leaf.append(Rule(guard, goto=True, protocol=mapping.protocol, ports=str(mapping.node_port)))
    everywhere = EVERYWHERE[mapping.family]
    found[guard] = [
        Rule(served, goto=True, source="" if cidr == everywhere else cidr) for cidr in mapping.source_ranges
    ]
    found[served] = [dnat(mapping)]


def dnat(mapping: PortMapping) -> Rule:
    """Return the DNAT rule of a mapping."""
    address = mapping.pod_ip if mapping.family == "IPv4" else f"[{mapping.pod_ip}]"
    return Rule(
        "DNAT",
        protocol=mapping.protocol,
        ports=str(mapping.node_port),
        comment=owner.tag(mapping.pod, mapping.pod_port),
        to=f"{address}:{mapping.pod_port}",
    )


def _guarded(key: RuleKey) -> tuple[str, str]:
    """Return the chain that lets only certain sources pass, and the chain behind it."""
    name = f"{key.protocol.upper()}-{key.node_port:04X}"
    return f"{ENTRY}-FROM-{name}", f"{ENTRY}-TO-{name}"


# --- reading back ----------------------------------------------------------------------------------------------------


def live(found: NatTable, family: Family, ports: Container[int] | None = None) -> tuple[LiveRule, ...]:
    """See `rules.RuleBackend`."""
    rules = (
        _live(rule, name, found, family)
        for name, chain in found.chains.items()
        for rule in chain
        if isinstance(rule, Rule) and rule.to and rule.ports.isdigit()
        if ports is None or int(rule.ports) in ports
    )
    return tuple(sorted(rules))


def _live(rule: Rule, chain: str, found: NatTable, family: Family) -> LiveRule:
    address, _, port = rule.to.rpartition(":")
    protocol: Protocol = next((known for known in PROTOCOLS if known == rule.protocol), "tcp")
    key = RuleKey(int(rule.ports), family, protocol)
    if not chain.startswith(f"{ENTRY}-TO-"):
        return LiveRule(key, address.strip("[]"), int(port), rule.comment)
    guard, served = _guarded(key)
    guards = found.chains.get(guard, ()) if chain == served else ()
    sources = tuple(g.source or EVERYWHERE[family] for g in guards if isinstance(g, Rule))
    return LiveRule(key, address.strip("[]"), int(port), rule.comment, sources)


def in_place(
    found: NatTable, want: NatTable | None, family: Family, advertised: str | None = None
) -> frozenset[RuleKey]:
    """See `rules.RuleBackend`. The rule of the mapping, and every chain and jump that leads to it, must exist.

    A duplicate or misplaced jump is a finding, and so is a missing address other than the advertised one. The mapping
    is in place all the same.
    """
    if want is None or any(JUMPS[name] not in found.bases[name].jumps for name in ("PREROUTING", "OUTPUT")):
        return frozenset()
    reached: set[RuleKey] = set()
    for protocol in PROTOCOLS:
        if _enters(found.chains.get(ENTRY, ()), want.chains[ENTRY], root(protocol), advertised):
            _reach(root(protocol), found.chains, want.chains, (family, protocol), reached)
    return frozenset(reached)


def _enters(here: Rules, want: Rules, name: str, advertised: str | None) -> bool:
    """Return whether packets get from the entry to the tree of a protocol, and those from loopback addresses do not."""
    loopback, *gates = want
    wanted = [g for g in gates if isinstance(g, Rule) and g.target == name and _is_for(g, advertised)]
    known = dict.fromkeys(want)
    # an unknown rule before the gate may take any packet
    return bool(wanted) and all(
        gate in here and loopback in (before := here[: here.index(gate)]) and all(rule in known for rule in before)
        for gate in wanted
    )


def _is_for(gate: Rule, advertised: str | None) -> bool:
    return advertised is None or gate.destination.partition("/")[0] == advertised


def _reach(
    name: str,
    found: Mapping[str, Rules],
    want: Mapping[str, Rules],
    kind: tuple[Family, Protocol],
    reached: set[RuleKey],
) -> None:
    here = found.get(name, ())
    as_wanted = here == want[name]
    for rule in want[name]:
        if not isinstance(rule, Rule) or not (as_wanted or _comes_to(rule, here)):
            continue
        if rule.target == "DNAT":
            reached.add(RuleKey(int(rule.ports), *kind))
        elif rule.ports.isdigit():
            guard, served = rule.target, rule.target.replace("-FROM-", "-TO-", 1)
            if all(found.get(chain) == want[chain] for chain in (guard, served)):
                reached.add(RuleKey(int(rule.ports), *kind))
        else:
            _reach(rule.target, found, want, kind, reached)


def _comes_to(rule: Rule, chain: Rules) -> bool:
    """Return whether the packets of a rule reach it: no rule before it takes one of them."""
    first, last = _ends(rule.ports)
    for other in chain:
        if other == rule:
            return True
        if isinstance(other, ForeignText):
            return False  # an unknown rule may take any packet
        begin, end = _ends(other.ports)
        if begin <= last and first <= end:
            return False
    return False


def _ends(ports: str) -> tuple[int, int]:
    first, _, last = (ports or "0:65535").partition(":")
    return int(first), int(last or first)


def is_empty(found: NatTable) -> bool:
    """See `rules.RuleBackend`."""
    return found.empty


def differs(found: NatTable, want: NatTable | None) -> bool:
    """See `rules.RuleBackend`."""
    if want is None:
        return not found.empty
    return found.chains != want.chains or any(base.place != "right" for base in found.bases.values())


def findings(found: NatTable, want: NatTable | None, family: Family) -> tuple[Finding, ...]:
    """See `rules.RuleBackend`. Checks the jumps, and the chains that lead to mappings. Empty on a new node.

    Args:
        found: The table as read.
        want: The table for the live mappings, so that mappings still to add are no finding.
        family: The address family.
    """
    if found.empty:
        return ()
    if want is None:
        return (Finding("dispatch", family, f"NPLCONF chains although the node has no {family} address"),)
    jumps = [
        Finding("jumps", f"{family} {name}", f"the jump in {name} is {found.bases[name].place}")
        for name in JUMPS
        if found.bases[name].place != "right"
    ]
    return (*jumps, *_chain_findings(found.chains, want.chains, family))


CHANGED = "the chain was changed by someone else; apply repairs it. Traffic to its mappings may not pass until then"


def _chain_findings(found: Mapping[str, Rules], want: Mapping[str, Rules], family: Family) -> Iterable[Finding]:
    for name in sorted(found.keys() | want.keys()):
        if name not in found:
            yield Finding("dispatch", f"{family} {name}", "the chain is missing")
        elif name not in want:
            yield Finding("dispatch", f"{family} {name}", "the chain leads to no mapping")
        elif any(isinstance(rule, ForeignText) for rule in found[name]):
            yield Finding("dispatch", f"{family} {name}", "the chain has a rule that nplconf did not write")
        elif _ways(found[name]) != _ways(want[name]):
            yield Finding("dispatch", f"{family} {name}", CHANGED)


def _ways(rules: Rules) -> list[object]:
    """Return a chain without its DNAT rules, which are checked as mappings."""
    return [r.ports if isinstance(r, Rule) and r.target == "DNAT" else r for r in rules]
