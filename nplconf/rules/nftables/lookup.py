"""The pure half of the nftables backend: one look-up per packet at any number of mappings."""

from collections.abc import Container, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from operator import attrgetter

from nplconf.model import (
    PROTOCOLS,
    Family,
    Finding,
    FindingKind,
    LiveRule,
    MasqueradeSource,
    PortMapping,
    PortRange,
    Protocol,
    RuleKey,
)
from nplconf.rules import HOST, Part, owner
from nplconf.rules.nftables import frame, table
from nplconf.rules.nftables.element import MEMBER, Element, Elements
from nplconf.rules.nftables.frame import TABLE
from nplconf.rules.nftables.table import NftTable, Origin

WAY = ("", "chain prerouting", "chain output", "chain dispatch")
"""The objects that every packet to a mapping passes, in either family."""


def build(
    mappings: Iterable[PortMapping],
    addresses: Sequence[str],
    sources: Iterable[MasqueradeSource],
    ports: PortRange,
    family: Family,
) -> NftTable:
    """See `RuleBackend`."""
    sets = _elements(Part(sorted(mappings, key=attrgetter("node_port")), sources), family)
    span = str(ports.first) if len(ports) == 1 else f"{ports.first}-{ports.last}"
    sets[frame.addresses(family)] = dict.fromkeys(addresses, MEMBER)
    sets[frame.published(family)] = dict.fromkeys((f"{address} . {span}" for address in addresses), MEMBER)
    return NftTable(frame.frame(), sets)


def rebuild(earlier: NftTable, gone: Part, new: Part, family: Family) -> NftTable:
    """See `RuleBackend`. Copying a set and replacing one element takes a tenth of the time of making all."""
    old, added = _elements(gone, family), _elements(new, family)
    changed = {name: tuple(old[name] | added[name]) for name in old if old[name] or added[name]}
    replaced = {name: _with_others(earlier.sets[name], old[name], added[name]) for name in changed}
    return NftTable(frame.frame(), {**earlier.sets, **replaced}, origin=Origin(earlier.sets, changed))


def _with_others(there: Elements, gone: Iterable[str], new: Elements) -> Elements:
    found = dict(there)
    for key in gone:
        del found[key]
    found.update(new)
    return found


def _elements(part: Part, family: Family) -> dict[str, dict[str, Element]]:
    """Return the elements of mappings, by name of the set."""
    sets: dict[str, dict[str, Element]] = {name: {} for name in table.names(family)}
    hairpin, bridged = sets[frame.hairpin(family)], sets[frame.bridged(family)]
    for pod_ip, source in part.sources:
        network = source.removesuffix(HOST[family])
        (hairpin if network == pod_ip else bridged)[f"{network} . {pod_ip}"] = MEMBER
    open_to_all = {protocol: sets[frame.ports(protocol, family)] for protocol in PROTOCOLS}
    limited = {protocol: sets[frame.restricted(protocol, family)] for protocol in PROTOCOLS}
    for mapping in part.mappings:
        chosen = limited if mapping.source_ranges else open_to_all
        to, tag = f"{mapping.pod_ip} . {mapping.pod_port}", owner.tag(mapping.pod, mapping.pod_port)
        chosen[mapping.protocol][str(mapping.node_port)] = Element(to, tag)
        if mapping.source_ranges:
            sets[frame.sources(mapping.protocol, family)].update(_sources(mapping))
    return sets


def _sources(mapping: PortMapping) -> Elements:
    networks = (network.removesuffix(HOST[mapping.family]) for network in _disjoint(mapping.source_ranges))
    return {f"{network} . {mapping.node_port}": MEMBER for network in networks}


def _disjoint(networks: Sequence[str]) -> Sequence[str]:
    """Return networks without overlap that contain the same sources. The kernel refuses overlapping ones."""
    if len(networks) < 2:
        return networks
    from netaddr import cidr_merge  # late import: 50 ms, needed only with such a policy

    return tuple(map(str, cidr_merge(networks)))


# --- reading back ----------------------------------------------------------------------------------------------------


def is_empty(found: NftTable) -> bool:
    """See `RuleBackend`."""
    return found.empty


def live(found: NftTable, family: Family, ports: Container[int] | None = None) -> tuple[LiveRule, ...]:
    """See `RuleBackend`."""
    return tuple(sorted(rule for protocol in PROTOCOLS for rule in _live(found, family, protocol, ports)))


def _live(found: NftTable, family: Family, protocol: Protocol, ports: Container[int] | None) -> Iterator[LiveRule]:
    open_to_all = found.sets.get(frame.ports(protocol, family), {})
    limited = found.sets.get(frame.restricted(protocol, family), {})
    ranges = _ranges(found, family, protocol) if limited else {}
    for elements in (open_to_all, limited):
        chosen = [one for one in elements.items() if ports is None or int(one[0]) in ports]
        # the kernel lists them in any order, and texts of equal length are sorted faster than rules
        for port, (to, tag) in sorted(chosen):
            if to:
                address, _, pod_port = to.partition(" . ")
                allowed = ranges.get(port, ()) if elements is limited else ()
                yield LiveRule(RuleKey(int(port), family, protocol), address, int(pod_port), tag, tuple(allowed))


def _ranges(found: NftTable, family: Family, protocol: Protocol) -> dict[str, list[str]]:
    """Return the source ranges of each restricted port, sorted as `cidr_merge` sorts them."""
    from ipaddress import ip_network

    ranges: dict[str, list[str]] = {}
    pairs = [key.split(" . ") for key in found.sets.get(frame.sources(protocol, family), {}) if " . " in key]
    for network, port in sorted(pairs, key=lambda pair: ip_network(pair[0])):  # type: ignore[type-var,unused-ignore]
        ranges.setdefault(port, []).append(network if "/" in network else network + HOST[family])
    return ranges


def differs(found: NftTable, want: NftTable | None) -> bool:
    """See `RuleBackend`."""
    if want is None:
        return not found.empty
    return found.frame != want.frame or found.sets != want.sets or bool(found.unknown)


def in_place(
    found: NftTable, want: NftTable | None, family: Family, advertised: str | None = None
) -> frozenset[RuleKey]:
    """See `RuleBackend`."""
    if want is None or not _is_led_to(found, want, family, advertised):
        return frozenset()
    return frozenset(chain.from_iterable(_reached(found, want, family, protocol) for protocol in PROTOCOLS))


def _is_led_to(found: NftTable, want: NftTable, family: Family, advertised: str | None) -> bool:
    """Return whether packets to the node reach the maps of a family, and those from loopback addresses do not."""
    way = (*WAY, f"chain dispatch-{family.lower()}", f"set {frame.addresses(family)}")
    wanted = want.sets[frame.addresses(family)]
    concerned = wanted.keys() if advertised is None else wanted.keys() & {advertised}
    there = found.sets.get(frame.addresses(family), {})
    return (
        all(found.frame.get(name) == want.frame[name] for name in way) and bool(concerned) and concerned <= there.keys()
    )


def _reached(found: NftTable, want: NftTable, family: Family, protocol: Protocol) -> Iterator[RuleKey]:
    name, limited, allowed = (kind(protocol, family) for kind in (frame.ports, frame.restricted, frame.sources))
    there, wanted, restricted = _declared(found, want, "map", name), want.sets[name], want.sets[limited]
    ports: Iterable[str] = wanted if there == wanted else [port for port, to in wanted.items() if there.get(port) == to]
    if restricted and f"map {name}" in found.frame:
        behind = _declared(found, want, "map", limited)
        passed, must_pass = _by_port(_declared(found, want, "set", allowed)), _by_port(want.sets[allowed])
        alone = [port for port, to in restricted.items() if behind.get(port) == to and port not in there]
        ports = chain(ports, (port for port in alone if passed.get(port) == must_pass[port]))
    # `tuple.__new__` makes the keys in half of the time
    return map(partial(tuple.__new__, RuleKey), zip(map(int, ports), repeat(family), repeat(protocol), strict=False))


def _declared(found: NftTable, want: NftTable, kind: str, name: str) -> Elements:
    """Return the elements of a set with the right declaration; none otherwise."""
    place = f"{kind} {name}"
    return found.sets[name] if found.frame.get(place) == want.frame[place] else {}


def _by_port(elements: Elements) -> dict[str, set[str]]:
    ports: dict[str, set[str]] = {}
    for key in elements:
        network, _, port = key.partition(" . ")
        ports.setdefault(port, set()).add(network)
    return ports


# --- what is wrong ---------------------------------------------------------------------------------------------------


def findings(found: NftTable, want: NftTable | None, family: Family) -> tuple[Finding, ...]:
    """See `RuleBackend`. A fault that concerns both families is a finding of each."""
    if found.empty:
        return ()
    if want is None:
        return (Finding("dispatch", family, f"elements in table {TABLE} although the node has no {family} address"),)
    return (*_frame_findings(found, want, family), *_set_findings(found, want, family))


def _frame_findings(found: NftTable, want: NftTable, family: Family) -> Iterator[Finding]:
    other = "-ipv6" if family == "IPv4" else "-ipv4"
    for name in sorted(found.frame.keys() | want.frame.keys()):
        if other in name or found.frame.get(name) == want.frame.get(name):
            continue
        kind: FindingKind = "jumps" if name.removeprefix("chain ") in frame.BASES else "dispatch"
        what = "changed by another program"
        if name not in found.frame:
            what = "missing"
        elif name not in want.frame:
            what = "not one of nplconf"
        yield Finding(kind, f"{family} {name or 'table'}", f"{name or 'the table'} in {TABLE} is {what}")


def _set_findings(found: NftTable, want: NftTable, family: Family) -> Iterator[Finding]:
    """Yield sets with other elements. In a map only elements that nplconf would not write: the others are mappings."""
    maps = {name(protocol, family) for protocol in PROTOCOLS for name in (frame.ports, frame.restricted)}
    for name, elements in want.sets.items():
        what = f"map {name}" if name in maps else f"set {name}"
        if name in found.unknown:
            yield Finding("dispatch", f"{family} {what}", f"{what} in {TABLE} has an element that is not of nplconf")
        elif name not in maps and found.sets[name] != elements:
            yield Finding("dispatch", f"{family} {what}", f"{what} in {TABLE} has other elements than it must have")
