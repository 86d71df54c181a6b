"""What the table says of mappings: the live ones, those that a packet reaches, and other faults."""

from dataclasses import replace

import pytest
import worlds
from listings import ADDRESSES, build, found

from nplconf.model import FAMILIES, PROTOCOLS, Family, LiveRule, PortMapping, PortRange
from nplconf.rules import owner
from nplconf.rules.masquerade import Route
from nplconf.rules.nftables import lookup
from nplconf.rules.nftables.element import MEMBER, Element
from nplconf.rules.nftables.frame import frame
from nplconf.rules.nftables.table import NftTable

OPEN = worlds.mapping(61001)
LIMITED = worlds.mapping(61002)._replace(source_ranges=("10.0.0.0/8", "192.168.7.1/32"))
EVERY = [worlds.mapping(61001, protocol, family) for protocol in PROTOCOLS for family in FAMILIES]


def there(family: Family = "IPv4", *rows: PortMapping) -> NftTable:
    return found(*(rows or (OPEN, LIMITED)))[family]


def with_set(table: NftTable, name: str, **changed: Element | None) -> NftTable:
    """A table in which some elements of a set are others, or gone (None)."""
    elements = {**table.sets[name], **{key.removeprefix("_"): entry for key, entry in changed.items()}}
    return replace(table, sets={**table.sets, name: {key: entry for key, entry in elements.items() if entry}})


# --- what is built ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", EVERY)
def test_each_protocol_and_family_has_a_map_of_its_own(row: PortMapping) -> None:
    sets = build(row.family, [row]).sets
    filled = {name for name, elements in sets.items() if elements and name.startswith(PROTOCOLS)}
    assert filled == {f"{row.protocol}-{row.family.lower()}"}


def test_flows_to_the_port_range_are_known_again_afterwards() -> None:
    assert build("IPv4", []).sets["published-ipv4"] == {f"{a} . 61000-62000": MEMBER for a in ADDRESSES["IPv4"]}
    single = lookup.build([], ["10.0.0.1"], [], PortRange(61000, 61000), "IPv4")
    assert single.sets["published-ipv4"] == {"10.0.0.1 . 61000": MEMBER}


def test_who_is_masqueraded() -> None:
    bridge = Route("10.244.3.0/24", bridged=True, device="cni0")
    assert build("IPv4", [OPEN]).sets["hairpin-ipv4"] == {"10.244.3.17 . 10.244.3.17": MEMBER}
    on_bridge = build("IPv4", [OPEN], (bridge,)).sets
    assert on_bridge["bridged-ipv4"] == {"10.244.3.0/24 . 10.244.3.17": MEMBER}
    assert on_bridge["hairpin-ipv4"] == {}


def test_sources_that_lie_in_others_are_left_out_as_the_kernel_refuses_them() -> None:
    row = OPEN._replace(source_ranges=("10.1.0.0/16", "10.0.0.0/8", "192.168.7.1/32"))
    assert build("IPv4", [row]).sets["tcp-ipv4-sources"] == {
        "10.0.0.0/8 . 61001": MEMBER,
        "192.168.7.1 . 61001": MEMBER,
    }


# --- what is live ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", EVERY)
def test_a_mapping_is_read_back_with_its_owner(row: PortMapping) -> None:
    tag = owner.tag(row.pod, row.pod_port)
    found = lookup.live(there(row.family, *EVERY), row.family)
    assert found[sorted(PROTOCOLS).index(row.protocol)] == LiveRule(row.key, row.pod_ip, row.pod_port, tag)


def test_a_mapping_is_read_back_with_its_sources() -> None:
    assert [rule.source_ranges for rule in lookup.live(there(), "IPv4")] == [(), LIMITED.source_ranges]


def test_only_the_rules_of_certain_ports_are_read() -> None:
    assert [rule.key.node_port for rule in lookup.live(there(), "IPv4", {61002})] == [61002]


def test_a_port_that_is_in_both_maps_is_listed_twice() -> None:
    both = with_set(there(), "tcp-ipv4-restricted", _61001=Element("10.9.9.9 . 80", "nplconf:a/b:80:u"))
    assert [rule.key.node_port for rule in lookup.live(both, "IPv4")] == [61001, 61001, 61002]


def test_no_table_has_no_rule() -> None:
    assert lookup.live(NftTable(), "IPv4") == ()
    assert lookup.is_empty(NftTable())


# --- what a packet reaches -------------------------------------------------------------------------------------------


def reached(table: NftTable, *rows: PortMapping, advertised: str | None = "10.10.10.10") -> set[int]:
    want = build("IPv4", rows or (OPEN, LIMITED))
    return {key.node_port for key in lookup.in_place(table, want, "IPv4", advertised)}


def test_what_is_as_it_must_be_is_reached() -> None:
    assert reached(there()) == reached(there(), advertised=None) == {61001, 61002}
    assert not lookup.differs(there(), build("IPv4", (OPEN, LIMITED)))


@pytest.mark.parametrize("place", [*lookup.WAY, "chain dispatch-ipv4", "set addresses-ipv4"])
def test_nothing_is_reached_where_the_way_to_the_maps_is_not_as_it_must_be(place: str) -> None:
    for changed in ({**frame(), place: ("accept",)}, {name: lines for name, lines in frame().items() if name != place}):
        assert reached(replace(there(), frame=changed)) == set()


@pytest.mark.parametrize("place", ["chain dispatch-ipv6", "map udp-ipv4", "chain postrouting", "chain source-ipv4"])
def test_what_is_beside_the_way_takes_nothing_away(place: str) -> None:
    changed = replace(there(), frame={**frame(), place: ("accept",)})
    assert reached(changed) == {61001, 61002}
    assert lookup.differs(changed, build("IPv4", (OPEN, LIMITED)))


def test_nothing_is_reached_at_an_address_that_is_not_in_the_set() -> None:
    less = with_set(there(), "addresses-ipv4", **{"10.10.10.10": None})
    assert reached(less) == set()
    assert reached(less, advertised="10.0.0.1") == {61001, 61002}
    assert reached(less, advertised=None) == set()
    assert reached(there(), advertised="10.0.0.99") == set()


def test_a_mapping_is_reached_with_exactly_its_element() -> None:
    other = Element("10.9.9.9 . 8080", owner.tag(OPEN.pod, 8080))
    assert reached(with_set(there(), "tcp-ipv4", _61001=other)) == {61002}
    assert reached(with_set(there(), "tcp-ipv4", _61001=None)) == {61002}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("tcp-ipv4-sources", {"10.0.0.0/8 . 61002": None}),
        ("tcp-ipv4-sources", {"0.0.0.0/0 . 61002": MEMBER}),
        ("tcp-ipv4-restricted", {"_61002": None}),
        ("tcp-ipv4", {"_61002": Element("10.9.9.9 . 80", "nplconf:a/b:80:u")}),
    ],
)
def test_a_restricted_mapping_is_reached_from_its_sources_and_no_others(
    name: str, changed: dict[str, Element | None]
) -> None:
    elements = with_set(there(), name, **{key: entry for key, entry in changed.items() if key.startswith("_")})
    sets = {**elements.sets[name], **{key: entry for key, entry in changed.items() if not key.startswith("_")}}
    table = replace(there(), sets={**there().sets, name: {key: entry for key, entry in sets.items() if entry}})
    assert reached(table) == {61001}


def test_a_family_without_an_address_has_nothing_in_place() -> None:
    assert lookup.in_place(there(), None, "IPv4") == frozenset()
    assert lookup.differs(there(), None)
    assert not lookup.differs(NftTable(), None)


# --- what is wrong ---------------------------------------------------------------------------------------------------


def complaints(table: NftTable, family: Family = "IPv4") -> list[tuple[str, str]]:
    want = build(family, (OPEN, LIMITED))
    return [(finding.kind, finding.subject) for finding in lookup.findings(table, want, family)]


def test_nothing_is_wrong_with_what_was_written_nor_with_a_new_node() -> None:
    assert complaints(there()) == complaints(NftTable()) == []


@pytest.mark.parametrize("base", ["prerouting", "output", "postrouting"])
def test_a_base_chain_is_a_finding_of_its_own_kind(base: str) -> None:
    for changed in ({**frame(), f"chain {base}": ()}, {k: v for k, v in frame().items() if k != f"chain {base}"}):
        assert complaints(replace(there(), frame=changed)) == [("jumps", f"IPv4 chain {base}")]


def test_what_is_changed_missing_or_foreign_is_named_once() -> None:
    changed = {**frame(), "": (), "chain dispatch-ipv4": (), "chain dispatch-ipv6": (), "chain mine": ("accept",)}
    assert complaints(replace(there(), frame=changed)) == [
        ("dispatch", "IPv4 table"),
        ("dispatch", "IPv4 chain dispatch-ipv4"),
        ("dispatch", "IPv4 chain mine"),
    ]


def test_sets_that_lead_to_no_mapping_or_to_none_are_findings_and_mappings_are_not() -> None:
    table = with_set(there(), "hairpin-ipv4", **{"10.9.9.9 . 10.9.9.9": MEMBER})
    assert complaints(table) == [("dispatch", "IPv4 set hairpin-ipv4")]
    assert complaints(with_set(there(), "tcp-ipv4", _61001=None)) == []
    foreign = replace(there(), unknown=frozenset({"tcp-ipv4"}))
    assert complaints(foreign) == [("dispatch", "IPv4 map tcp-ipv4")]
    assert lookup.differs(foreign, build("IPv4", (OPEN, LIMITED)))


def test_elements_of_a_family_that_the_node_does_not_have() -> None:
    (finding,) = lookup.findings(there(), None, "IPv4")
    assert (finding.kind, finding.subject) == ("dispatch", "IPv4")
