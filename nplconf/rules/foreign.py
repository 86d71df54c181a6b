"""Foreign rules that take packets to node ports first, and the mappings that they hit. Pure, for any backend.

The backends read such rules in their own ways (`rules/iptables/taking.py`, `rules/native.py`) and return these values.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nplconf.model import Family, Finding, PortMapping, Protocol, RuleKey

NAMED = 5
"""The most mappings that a message names."""
TEXT = 300
"""The most characters of a rule that a message shows."""


class Network(NamedTuple):
    """A destination that a rule matches. negated: every other destination."""

    negated: bool
    cidr: str


class ForeignRule(NamedTuple):
    """A rule that takes packets to some ports of the node.

    Attributes:
        place: The chain that has the rule.
        destinations: The packet must match all of them.
        to: The ADDRESS:PORT that the rule leads to; "" if unknown.
        local: It takes only packets from programs on the node (hook output), so load balancers are not affected.
    """

    family: Family
    protocol: Protocol
    first: int
    last: int
    place: str
    text: str
    destinations: tuple[Network, ...] = ()
    to: str = ""
    local: bool = False

    def __str__(self) -> str:
        text = self.text if len(self.text) <= TEXT else f"{self.text[:TEXT]}..."
        return f"{self.place}: {text}"


def distinct(rules: Iterable[ForeignRule]) -> tuple[ForeignRule, ...]:
    """Return each rule once. A rule is `local` only if it takes no packets from outside."""
    found = dict.fromkeys(rules)
    return tuple(rule for rule in found if not (rule.local and rule._replace(local=False) in found))


def hits(
    rules: Iterable[ForeignRule],
    mappings: Iterable[PortMapping],
    addresses: Mapping[Family, Sequence[str]],
    *,
    local: bool = False,
) -> dict[RuleKey, ForeignRule]:
    """Return the mappings whose packets a foreign rule takes, each with the rule.

    A rule that leads to the mapping's own Pod and port takes nothing (an Antrea agent's, while it is replaced).

    Args:
        rules: The foreign rules that come first.
        mappings: The live or wanted mappings. hostPort mappings belong to the CNI, and no rule hits them.
        addresses: The node's addresses that clients may send to.
        local: Only rules that take the node's own packets, instead of those that take packets from outside.
    """
    near = [rule for rule in rules if rule.local == local and _concerns(rule, addresses.get(rule.family, ()))]
    if not near:
        return {}
    found: dict[RuleKey, ForeignRule] = {}
    by_number: dict[int, list[PortMapping]] = {}
    for mapping in mappings:
        if mapping.via == "dnat":
            by_number.setdefault(mapping.node_port, []).append(mapping)
    for rule in near:
        for number in by_number.keys() & range(rule.first, rule.last + 1):
            found |= {m.key: rule for m in by_number[number] if m.key not in found and _takes(rule, m)}
    return found


def _takes(rule: ForeignRule, mapping: PortMapping) -> bool:
    address = mapping.pod_ip if mapping.family == "IPv4" else f"[{mapping.pod_ip}]"
    same_packets = (mapping.family, mapping.protocol) == (rule.family, rule.protocol)
    return same_packets and rule.to != f"{address}:{mapping.pod_port}"


def findings(taken: Mapping[RuleKey, ForeignRule], mappings: Iterable[PortMapping]) -> tuple[Finding, ...]:
    """Return one finding for each foreign rule that takes published ports, with the first mappings that it hits."""
    subjects: dict[ForeignRule, list[str]] = {}
    for mapping in mappings if taken else ():
        if mapping.via == "dnat" and mapping.key in taken:
            subjects.setdefault(taken[mapping.key], []).append(mapping.subject)
    return tuple(_finding(rule, names) for rule, names in sorted(subjects.items()))


def _finding(rule: ForeignRule, names: Sequence[str]) -> Finding:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    packets = "packets that this node sends to itself" if rule.local else "packets"
    message = f"{', '.join(names[:NAMED])}{more}: a foreign rule takes the {packets} first ({rule}); remove that rule"
    return Finding("foreign", f"{rule.family} {rule.place}", message)


def _concerns(rule: ForeignRule, addresses: Iterable[str]) -> bool:
    return not rule.destinations or any(all(_holds(d, address) for d in rule.destinations) for address in addresses)


def _holds(destination: Network, address: str) -> bool:
    return covers(destination.cidr, address) != destination.negated


def covers(cidr: str, address: str) -> bool:
    """Return whether a network (CIDR or single address) contains an address. False if it is no network."""
    from ipaddress import ip_address, ip_network  # late import: 8 ms, needed only if such a rule exists

    try:
        return ip_address(address) in ip_network(cidr, strict=False)
    except ValueError:
        return False
