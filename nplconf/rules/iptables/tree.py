"""The dispatch tree: a packet to the last of 10,000 mappings walks a few dozen rules, and a change rewrites one leaf.

Chains cover aligned blocks of ports, sixteen to each parent, so a chain's name is the beginning of the port in
hexadecimal: tcp/61000 is 0xEE48, found through NPLCONF-TCP, -TCP-E, -TCP-EE in the leaf NPLCONF-TCP-EE4.
"""

from collections.abc import Container, Iterable, Mapping
from collections.abc import Sequence as SequenceOf

from nplconf.model import (
    PROTOCOLS,
    Family,
    Finding,
    LiveRule,
    MasqueradeSource,
    PortMapping,
    PortRange,
    Protocol,
    RuleKey,
)
from nplconf.rules import EVERYWHERE, HOST, owner
from nplconf.rules.iptables import masquerade
from nplconf.rules.iptables.rule import Rule, Unknown, span
from nplconf.rules.iptables.table import ENTRY, INDEX, JUMPS, POST, Table, jumps

LOOPBACK: dict[Family, str] = {"IPv4": "127.0.0.0/8", "IPv6": "::1/128"}
Rules = tuple[Rule | Unknown, ...]


def build(
    mappings: Iterable[PortMapping],
    addresses: SequenceOf[str],
    sources: Iterable[MasqueradeSource],
    ports: PortRange,
    family: Family,
) -> Table:
    """All chains that serve these mappings of one family at these addresses of the node."""
    rows = sorted(mappings, key=lambda m: m.key)
    found: dict[str, list[Rule]] = {root(protocol): [] for protocol in PROTOCOLS}
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
    chains[ENTRY] = _entry(addresses, family)
    chains[INDEX] = tuple(Rule(name, goto=True) for name in sorted(chains))
    return Table(chains, jumps())


def root(protocol: Protocol) -> str:
    """The chain that a protocol's packets enter the tree by."""
    return f"{ENTRY}-{protocol.upper()}"


def _entry(addresses: Iterable[str], family: Family) -> Rules:
    """Only what was sent to an address of the node, and not from a loopback address: the answer would never leave."""
    roots = [(root(protocol), protocol) for protocol in PROTOCOLS]
    gates = [
        Rule(name, goto=True, destination=address + HOST[family], protocol=protocol, local=True)
        for address in addresses
        for name, protocol in roots
    ]
    return (Rule("RETURN", source=LOOPBACK[family]), *gates)


def _leaf(found: dict[str, list[Rule]], protocol: Protocol, number: int) -> list[Rule]:
    """The chain of the sixteen numbers around one, made with the ways to it. Numbers come in ascending order."""
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
    """A mapping that only some sources may use: a chain that lets them in stands before its rule."""
    guard, served = _guarded(mapping.key)
    leaf.append(Rule(guard, goto=True, protocol=mapping.protocol, ports=str(mapping.node_port)))
    everywhere = EVERYWHERE[mapping.family]
    found[guard] = [
        Rule(served, goto=True, source="" if cidr == everywhere else cidr) for cidr in mapping.source_ranges
    ]
    found[served] = [dnat(mapping)]


def dnat(mapping: PortMapping) -> Rule:
    """The one rule of a mapping."""
    address = mapping.pod_ip if mapping.family == "IPv4" else f"[{mapping.pod_ip}]"
    return Rule(
        "DNAT",
        protocol=mapping.protocol,
        ports=str(mapping.node_port),
        comment=owner.tag(mapping.pod, mapping.pod_port),
        to=f"{address}:{mapping.pod_port}",
    )


def _guarded(key: RuleKey) -> tuple[str, str]:
    """The chain that lets in certain sources only, and the one they come to."""
    name = f"{key.protocol.upper()}-{key.node_port:04X}"
    return f"{ENTRY}-FROM-{name}", f"{ENTRY}-TO-{name}"


# --- reading back ----------------------------------------------------------------------------------------------------


def live(found: Table, family: Family, ports: Container[int] | None = None) -> tuple[LiveRule, ...]:
    """See `rules.RuleBackend`."""
    rules = (
        _live(rule, name, found, family)
        for name, chain in found.chains.items()
        for rule in chain
        if isinstance(rule, Rule) and rule.to and rule.ports.isdigit()
        if ports is None or int(rule.ports) in ports
    )
    return tuple(sorted(rules))


def _live(rule: Rule, chain: str, found: Table, family: Family) -> LiveRule:
    address, _, port = rule.to.rpartition(":")
    key = RuleKey(int(rule.ports), family, "udp" if rule.protocol == "udp" else "tcp")
    if not chain.startswith(f"{ENTRY}-TO-"):
        return LiveRule(key, address.strip("[]"), int(port), rule.comment)
    guard, served = _guarded(key)
    guards = found.chains.get(guard, ()) if chain == served else ()
    sources = tuple(g.source or EVERYWHERE[family] for g in guards if isinstance(g, Rule))
    return LiveRule(key, address.strip("[]"), int(port), rule.comment, sources)


def in_place(found: Table, want: Table | None, family: Family, advertised: str | None = None) -> frozenset[RuleKey]:
    """The wanted mappings that a packet to the advertised address (None: to any of the wanted ones) reaches.

    Their rule, and every chain and jump on the way to it, are there. A jump that is there twice or in the wrong place,
    or an address that is missing beside the advertised one, is a finding, and not the mapping's matter.
    """
    if want is None or any(JUMPS[name] not in found.bases[name].jumps for name in ("PREROUTING", "OUTPUT")):
        return frozenset()
    reached: set[RuleKey] = set()
    for protocol in PROTOCOLS:
        if _enters(found.chains.get(ENTRY, ()), want.chains[ENTRY], root(protocol), advertised):
            _reach(root(protocol), found.chains, want.chains, (family, protocol), reached)
    return frozenset(reached)


def _enters(here: Rules, want: Rules, name: str, advertised: str | None) -> bool:
    """Whether packets come from the entry to the tree of a protocol, and those from loopback do not."""
    loopback, *gates = want
    wanted = [g for g in gates if isinstance(g, Rule) and g.target == name and _is_for(g, advertised)]
    known = dict.fromkeys(want)
    # what stands before the gate is part of the entry, or nobody knows what it takes away
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
    """Whether the packets that a rule is for come to it: none before it takes one of them."""
    first, last = _ends(rule.ports)
    for other in chain:
        if other == rule:
            return True
        if isinstance(other, Unknown):
            return False  # nobody knows what it does to the packets that follow
        begin, end = _ends(other.ports)
        if begin <= last and first <= end:
            return False
    return False


def _ends(ports: str) -> tuple[int, int]:
    first, _, last = (ports or "0:65535").partition(":")
    return int(first), int(last or first)


def is_empty(found: Table) -> bool:
    """See `rules.RuleBackend`."""
    return found.empty


def differs(found: Table, want: Table | None) -> bool:
    """Whether there is anything to write."""
    if want is None:
        return not found.empty
    return found.chains != want.chains or any(base.place != "right" for base in found.bases.values())


def findings(found: Table, want: Table | None, family: Family) -> tuple[Finding, ...]:
    """What is wrong beside the mappings: jumps, and the chains that lead to them. None on a node that is new.

    want: the table of the mappings that are there, so that what is about to be added is no finding.
    """
    if found.empty:
        return ()
    if want is None:
        return (Finding("dispatch", family, f"chains of ours although the node has no {family} address"),)
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
        elif any(isinstance(rule, Unknown) for rule in found[name]):
            yield Finding("dispatch", f"{family} {name}", "the chain has a rule that is not ours")
        elif _ways(found[name]) != _ways(want[name]):
            yield Finding("dispatch", f"{family} {name}", CHANGED)


def _ways(rules: Rules) -> list[object]:
    """A chain without the DNAT rules' targets, which are the mappings' own matter."""
    return [r.ports if isinstance(r, Rule) and r.target == "DNAT" else r for r in rules]
