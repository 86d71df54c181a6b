"""Every mapping is found in a few dozen steps, no other packet is changed, and unreachable mappings are detected."""

from dataclasses import replace

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from packets import Packet, deliver

from nplconf.model import FAMILIES, Family, PortMapping, PortRange, Protocol, RuleKey
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.rule import ForeignText, Rule, to_text
from nplconf.rules.iptables.table import INDEX, Base, NatTable, linked
from nplconf.rules.masquerade import masquerade_sources

PORTS = PortRange(61000, 62000)
ADDRESS: dict[Family, str] = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
CLIENT: dict[Family, str] = {"IPv4": "192.0.2.9", "IPv6": "2001:db8::9"}
NUMBERS = st.sets(st.tuples(st.integers(1, 65535), st.sampled_from(["tcp", "udp"])), max_size=40)


def rows(*keys: tuple[int, Protocol], family: Family = "IPv4") -> list[PortMapping]:
    made = []
    for number, protocol in sorted(keys):
        pod = worlds.ref(f"web-{number}")
        made.append(worlds.mapping(number, protocol, family, pod=pod, pod_port=number % 1000 + 1))
    return made


def table(mappings: list[PortMapping], family: Family = "IPv4") -> NatTable:
    near = masquerade_sources((), {m.pod_ip for m in mappings})
    return tree.build(mappings, [ADDRESS[family]], near, PORTS, family)


def packet(number: int, protocol: str, family: Family = "IPv4") -> Packet:
    return Packet(CLIENT[family], ADDRESS[family], protocol, number)


@given(keys=NUMBERS, family=st.sampled_from(FAMILIES))
def test_each_number_leads_to_its_pod_and_any_other_to_nowhere(keys: set[tuple[int, Protocol]], family: Family) -> None:
    mappings = rows(*keys, family=family)
    made = table(mappings, family)
    for m in mappings:
        ip = f"[{m.pod_ip}]" if family == "IPv6" else m.pod_ip
        assert deliver(made, packet(m.node_port, m.protocol, family)) == f"{ip}:{m.pod_port}"
    for number, protocol in {(n + 1, p) for n, p in keys} - keys:
        assert deliver(made, packet(number, protocol, family)) is None


def test_the_last_of_ten_thousand_is_found_in_a_few_dozen_steps() -> None:
    made = table(rows(*((number, "tcp") for number in range(50000, 60000))))
    last = packet(59999, "tcp")
    assert deliver(made, last)
    assert last.checked <= 3 + 4 * 16


@given(keys=NUMBERS)
def test_a_mapping_is_one_rule(keys: set[tuple[int, Protocol]]) -> None:
    chains = table(rows(*keys)).chains
    dnat = [(r.ports, r.protocol) for rules in chains.values() for r in rules if isinstance(r, Rule) and r.to]
    assert sorted(dnat) == sorted((str(number), protocol) for number, protocol in keys)


@given(keys=NUMBERS)
def test_the_index_names_every_chain(keys: set[tuple[int, Protocol]]) -> None:
    made = table(rows(*keys))
    assert linked(made)
    assert INDEX not in {r.target for r in made.chains[INDEX] if isinstance(r, Rule)}


@given(keys=NUMBERS, family=st.sampled_from(FAMILIES))
def test_every_rule_may_be_written_and_every_name_is_short_enough(
    keys: set[tuple[int, Protocol]], family: Family
) -> None:
    for name, rules in table(rows(*keys, family=family), family).chains.items():
        assert len(name) <= 28
        assert all(isinstance(rule, Rule) and to_text(rule) for rule in rules)


@given(keys=NUMBERS)
def test_the_order_of_mappings_makes_no_difference(keys: set[tuple[int, Protocol]]) -> None:
    assert table(rows(*keys)[::-1]) == table(rows(*keys))


def test_a_table_without_mappings_has_what_every_mapping_needs() -> None:
    assert set(table([]).chains) == {"NPLCONF", INDEX, "NPLCONF-POST", "NPLCONF-MASQ", "NPLCONF-TCP", "NPLCONF-UDP"}


def test_another_number_of_a_block_changes_one_chain() -> None:
    one, two = table(rows((61000, "tcp"))), table(rows((61000, "tcp"), (61001, "tcp")))
    assert {name for name in {**one.chains, **two.chains} if one.chains.get(name) != two.chains.get(name)} == {
        "NPLCONF-TCP-EE4"
    }


# --- what must not be touched ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"destination": "10.10.10.11"},
        {"local": False},
        {"protocol": "udp"},
        {"source": "127.0.0.1"},
        {"source": "127.5.0.1"},
        {"port": 61001},
    ],
    ids=str,
)
def test_a_packet_for_another_destination_passes_unchanged(change: dict[str, object]) -> None:
    made = table(rows((61000, "tcp")))
    asked = packet(61000, "tcp")
    assert deliver(made, asked)
    assert deliver(made, replace(asked, **change)) is None  # type: ignore[arg-type]


def test_a_client_on_ipv6_loopback_is_foreign() -> None:
    made = table(rows((61000, "tcp"), family="IPv6"), "IPv6")
    assert deliver(made, replace(packet(61000, "tcp", "IPv6"), source="::1")) is None


# --- source ranges ---------------------------------------------------------------------------------------------------


def guarded(*cidrs: str) -> NatTable:
    return table([m._replace(source_ranges=cidrs) for m in rows((61000, "tcp"))])


@pytest.mark.parametrize(
    ("cidrs", "source", "let_in"),
    [
        (("192.0.2.0/24",), "192.0.2.9", True),
        (("192.0.2.0/24",), "192.0.3.9", False),
        (("10.0.0.0/8", "192.0.2.9/32"), "192.0.2.9", True),
        (("0.0.0.0/0",), "192.0.2.9", True),
    ],
)
def test_only_the_source_ranges_reach_a_guarded_mapping(cidrs: tuple[str, ...], source: str, *, let_in: bool) -> None:
    found = deliver(guarded(*cidrs), replace(packet(61000, "tcp"), source=source))
    assert (found is not None) is let_in


def test_a_guard_does_not_affect_other_ports_of_its_block() -> None:
    first, second = rows((61000, "tcp"), (61001, "tcp"))
    made = table([first._replace(source_ranges=("10.0.0.0/8",)), second])
    assert deliver(made, packet(61000, "tcp")) is None
    assert deliver(made, packet(61001, "tcp"))


def test_every_rule_of_a_guarded_mapping_is_valid_and_omits_the_network_of_all_addresses() -> None:
    texts = [
        to_text(rule) for rules in guarded("0.0.0.0/0").chains.values() for rule in rules if isinstance(rule, Rule)
    ]
    assert not any("0.0.0.0" in text for text in texts)


def test_the_source_ranges_of_a_live_rule_are_read_back() -> None:
    (rule,) = tree.live(guarded("10.0.0.0/8", "0.0.0.0/0"), "IPv4")
    assert rule.source_ranges == ("10.0.0.0/8", "0.0.0.0/0")


GUARD, SERVED = "NPLCONF-FROM-TCP-EE48", "NPLCONF-TO-TCP-EE48"


@pytest.mark.parametrize("guard", [None, (ForeignText("-j LOG"),)], ids=["gone", "strange"])
def test_a_live_rule_without_the_guard_it_had_is_read_as_having_none(guard: object) -> None:
    (rule,) = tree.live(damaged(guarded("10.0.0.0/8"), **{GUARD: guard}), "IPv4")
    assert rule.source_ranges == ()


def test_a_live_rule_behind_the_guard_of_another_number_is_not_guarded() -> None:
    want = guarded("10.0.0.0/8")
    astray = tuple(r._replace(ports="61001") for r in want.chains[SERVED] if isinstance(r, Rule))
    own = (Rule(SERVED, goto=True, source="192.0.2.0/24"),)
    found = damaged(want, **{SERVED: astray, "NPLCONF-FROM-TCP-EE49": own})
    assert [(r.key.node_port, r.source_ranges) for r in tree.live(found, "IPv4")] == [(61001, ())]


def test_a_guarded_mapping_is_in_place_with_its_whole_guard_alone() -> None:
    want = guarded("10.0.0.0/8", "192.0.2.0/24")
    assert tree.in_place(want, want, "IPv4") == {RuleKey(61000, "IPv4", "tcp")}
    for chain in (GUARD, SERVED):
        assert tree.in_place(damaged(want, **{chain: want.chains[chain][:-1]}), want, "IPv4") == frozenset()


# --- reading back ----------------------------------------------------------------------------------------------------


@given(keys=NUMBERS, family=st.sampled_from(FAMILIES))
def test_live_rules_are_the_mappings(keys: set[tuple[int, Protocol]], family: Family) -> None:
    mappings = rows(*keys, family=family)
    found = tree.live(table(mappings, family), family)
    assert [(r.key, r.pod_ip, r.pod_port) for r in found] == sorted((m.key, m.pod_ip, m.pod_port) for m in mappings)


def test_live_rules_are_sorted_whatever_the_order_of_the_chains() -> None:
    made = table(rows((61001, "udp"), (61005, "tcp"), (61006, "udp")))
    found = tree.live(replace(made, chains=dict(reversed(list(made.chains.items())))), "IPv4")
    assert [r.key.node_port for r in found] == [61001, 61005, 61006]
    assert [r.key.node_port for r in tree.live(made, "IPv4", {61005})] == [61005]


@pytest.mark.parametrize(
    "stray",
    [
        ForeignText("-j LOG"),
        Rule("DNAT", to="10.0.0.1:80"),
        Rule("DNAT", protocol="tcp", ports="1:9", to="10.0.0.1:80"),
    ],
    ids=str,
)
def test_a_rule_without_a_single_port_is_not_live(stray: Rule | ForeignText) -> None:
    assert tree.live(damaged(table([]), **{"NPLCONF-TCP": (stray,)}), "IPv4") == ()


@given(keys=NUMBERS)
def test_all_is_in_place_where_nothing_is_broken(keys: set[tuple[int, Protocol]]) -> None:
    made = table(rows(*keys))
    assert tree.in_place(made, made, "IPv4") == {m.key for m in rows(*keys)}


STRAYS = (
    Rule("RETURN"),
    Rule("RETURN", source="192.0.2.0/24"),
    Rule("RETURN", protocol="udp"),
    Rule("DNAT", protocol="tcp", ports="61000:61003", to="10.244.9.9:9"),
    Rule("DNAT", protocol="tcp", ports="61002", to="10.244.9.9:9"),
    Rule("RETURN", protocol="tcp", ports="1:65535"),
)


@given(data=st.data())
def test_a_mapping_in_place_is_reached_whatever_rules_are_missing_foreign_or_swapped(data: st.DataObject) -> None:
    want = table(rows(*((number, "tcp") for number in (61000, 61001, 61002, 61040, 50000))))
    chains = dict(want.chains)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from([name for name in sorted(chains) if "-TCP" in name]))
        rules = data.draw(st.permutations([*chains[name], data.draw(st.sampled_from(STRAYS))]))
        chains[name] = tuple(rules[: data.draw(st.integers(0, len(rules)))])
    found = replace(want, chains=chains)
    for key in tree.in_place(found, want, "IPv4"):
        asked = packet(key.node_port, key.protocol)
        assert deliver(found, asked) == deliver(want, asked) is not None


@pytest.mark.parametrize("stray", STRAYS, ids=to_text)
def test_a_rule_behind_the_mappings_own_takes_nothing_from_it(stray: Rule) -> None:
    want = table(rows((61000, "tcp")))
    leaf = "NPLCONF-TCP-EE4"
    found = replace(want, chains={**want.chains, leaf: (*want.chains[leaf], stray)})
    assert tree.in_place(found, want, "IPv4") == {RuleKey(61000, "IPv4", "tcp")}


@pytest.mark.parametrize(
    ("stray", "left"),
    [
        (Rule("DNAT", protocol="tcp", ports="61002", to="10.244.9.9:9"), {61000, 61001, 61003}),
        (Rule("DNAT", protocol="tcp", ports="61001:61002", to="10.244.9.9:9"), {61000, 61003}),
        (Rule("DNAT", protocol="tcp", ports="1:61000", to="10.244.9.9:9"), {61001, 61002, 61003}),
        (Rule("RETURN", protocol="tcp"), set()),
        (ForeignText("-p tcp -m tcp --dport 1 -j LOG"), set()),
    ],
    ids=str,
)
def test_a_rule_in_front_takes_the_numbers_it_is_for_and_no_others(stray: Rule | ForeignText, left: set[int]) -> None:
    want = table(rows(*((number, "tcp") for number in range(61000, 61004))))
    leaf = "NPLCONF-TCP-EE4"
    found = damaged(want, **{leaf: (stray, *reversed(want.chains[leaf]))})
    assert {key.node_port for key in tree.in_place(found, want, "IPv4")} == left


@pytest.mark.parametrize("chain", ["NPLCONF", "NPLCONF-TCP", "NPLCONF-TCP-E", "NPLCONF-TCP-EE4"])
def test_nothing_is_in_place_behind_a_chain_that_is_gone(chain: str) -> None:
    want = table(rows((61000, "tcp")))
    assert tree.in_place(damaged(want, **{chain: None}), want, "IPv4", "10.10.10.10") == frozenset()


@pytest.mark.parametrize("base", ["PREROUTING", "OUTPUT"])
@pytest.mark.parametrize("jumps", [(), ("-g NPLCONF",), ("-p tcp -j NPLCONF",)])
def test_nothing_is_in_place_without_both_jumps(base: str, jumps: tuple[str, ...]) -> None:
    want = table(rows((61000, "tcp")))
    found = replace(want, bases={**want.bases, base: Base(jumps, "foreign")})
    assert tree.in_place(found, want, "IPv4") == frozenset()


@pytest.mark.parametrize("jumps", [("-j NPLCONF", "-j NPLCONF"), ("-p tcp -j NPLCONF-TCP", "-j NPLCONF")])
def test_a_jump_too_many_takes_nothing_out_of_place(jumps: tuple[str, ...]) -> None:
    want = table(rows((61000, "tcp")))
    found = replace(want, bases={**want.bases, "OUTPUT": Base(jumps, "doubled")})
    assert tree.in_place(found, want, "IPv4") == {RuleKey(61000, "IPv4", "tcp")}


TWO = ("10.0.0.1", "10.10.10.10")


@pytest.mark.parametrize(
    ("address", "arrives"),
    [("10.10.10.10", True), ("10.0.0.1", False), (None, False)],
    ids=["the one that is there", "the one that is not", "both"],
)
def test_what_reaches_the_advertised_address_is_in_place_though_another_is_missing(
    address: str | None, *, arrives: bool
) -> None:
    mappings = rows((61000, "tcp"))
    want = tree.build(mappings, TWO, (), PORTS, "IPv4")
    found = tree.build(mappings, TWO[1:], (), PORTS, "IPv4")
    assert bool(tree.in_place(found, want, "IPv4", address)) is arrives


def test_without_the_gate_of_one_protocol_the_other_is_in_place() -> None:
    want = table(rows((61000, "tcp"), (61000, "udp")))
    gates = tuple(rule for rule in want.chains["NPLCONF"] if rule.target != "NPLCONF-UDP")  # type: ignore[union-attr]
    assert tree.in_place(damaged(want, NPLCONF=gates), want, "IPv4") == {RuleKey(61000, "IPv4", "tcp")}


def test_an_address_that_no_gate_is_for_reaches_nothing() -> None:
    want = table(rows((61000, "tcp")))
    assert tree.in_place(want, want, "IPv4", "10.10.10.11") == frozenset()


@pytest.mark.parametrize("stray", [ForeignText("-j LOG"), Rule("RETURN"), None], ids=str)
def test_nothing_is_in_place_behind_a_stray_rule_or_without_the_loopback_rule(
    stray: Rule | ForeignText | None,
) -> None:
    want = table(rows((61000, "tcp")))
    entry = want.chains["NPLCONF"][1:] if stray is None else (stray, *want.chains["NPLCONF"])
    assert tree.in_place(damaged(want, NPLCONF=entry), want, "IPv4", "10.10.10.10") == frozenset()


def test_a_rule_behind_an_unknown_one_is_not_in_place() -> None:
    want = table(rows((61000, "tcp"), (61100, "tcp")))
    leaf = "NPLCONF-TCP-EE4"
    found = replace(want, chains={**want.chains, leaf: (ForeignText("-p tcp -j ACCEPT"), *want.chains[leaf])})
    assert tree.in_place(found, want, "IPv4") == {RuleKey(61100, "IPv4", "tcp")}


def test_a_guard_that_lets_in_others_than_wanted_is_not_in_place() -> None:
    assert tree.in_place(guarded("10.0.0.0/8"), guarded("10.0.0.0/9"), "IPv4") == frozenset()
    assert tree.in_place(table(rows((61000, "tcp"))), guarded("10.0.0.0/9"), "IPv4") == frozenset()


# --- findings --------------------------------------------------------------------------------------------------------


def damaged(want: NatTable, **chains: object) -> NatTable:
    kept = {name: rules for name, rules in want.chains.items() if name not in chains}
    return replace(want, chains=kept | {name: rules for name, rules in chains.items() if rules is not None})  # type: ignore[arg-type]


def test_a_sound_table_has_no_findings() -> None:
    want = table(rows((61000, "tcp")))
    assert tree.findings(want, want, "IPv4") == ()


def test_a_node_that_is_new_has_no_findings() -> None:
    assert tree.findings(NatTable(), table([]), "IPv4") == ()


@pytest.mark.parametrize("state", ["missing", "doubled", "moved", "foreign"])
def test_a_jump_that_is_not_right_is_a_finding(state: str) -> None:
    want = table([])
    found = replace(want, bases={**want.bases, "POSTROUTING": Base((), state)})  # type: ignore[arg-type]
    (finding,) = tree.findings(found, want, "IPv4")
    assert (finding.kind, finding.subject) == ("jumps", "IPv4 POSTROUTING")
    assert state in finding.message


def test_a_chain_that_is_missing_wrong_or_one_too_many_is_a_finding() -> None:
    want = table(rows((61000, "tcp")))
    wrong = damaged(
        want, **{"NPLCONF-TCP-E": (), "NPLCONF-UDP": None, "NPLCONF-X": (), "NPLCONF": (ForeignText("-j LOG"),)}
    )
    assert [(f.kind, f.subject, f.message) for f in tree.findings(wrong, want, "IPv4")] == [
        ("dispatch", "IPv4 NPLCONF", "the chain has a rule that nplconf did not write"),
        ("dispatch", "IPv4 NPLCONF-TCP-E", tree.CHANGED),
        ("dispatch", "IPv4 NPLCONF-UDP", "the chain is missing"),
        ("dispatch", "IPv4 NPLCONF-X", "the chain leads to no mapping"),
    ]


def test_a_gate_for_another_address_is_a_finding() -> None:
    want = table([])
    entry = tuple(
        rule._replace(destination="192.0.2.1/32") for rule in want.chains["NPLCONF"] if isinstance(rule, Rule)
    )
    (finding,) = tree.findings(damaged(want, NPLCONF=entry), want, "IPv4")
    assert (finding.subject, finding.message) == ("IPv4 NPLCONF", tree.CHANGED)


def test_the_target_of_a_mapping_is_no_finding() -> None:
    want, moved = table(rows((61000, "tcp"))), table([rows((61000, "tcp"))[0]._replace(pod_port=9)])
    assert tree.differs(moved, want)
    assert tree.findings(moved, want, "IPv4") == ()


def test_chains_of_nplconf_in_a_family_without_an_address_are_a_finding() -> None:
    (finding,) = tree.findings(table([]), None, "IPv4")
    assert (finding.kind, finding.subject) == ("dispatch", "IPv4")
    assert tree.differs(table([]), None)
    assert not tree.differs(NatTable(), None)
