"""Every mapping is found in a few dozen steps, nothing else is touched, and what is cut off is known to be."""

from dataclasses import replace

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from packets import Packet, deliver

from nplconf.model import FAMILIES, Family, Mapping, PortRange, Protocol, RuleKey
from nplconf.rules import masquerade, tree
from nplconf.rules.rule import Rule, Unknown, to_text
from nplconf.rules.table import INDEX, Base, Table, linked

PORTS = PortRange(61000, 62000)
ADDRESS: dict[Family, str] = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
CLIENT: dict[Family, str] = {"IPv4": "192.0.2.9", "IPv6": "2001:db8::9"}
NUMBERS = st.sets(st.tuples(st.integers(1, 65535), st.sampled_from(["tcp", "udp"])), max_size=40)


def rows(*keys: tuple[int, Protocol], family: Family = "IPv4") -> list[Mapping]:
    made = []
    for number, protocol in sorted(keys):
        pod = worlds.ref(f"web-{number}")
        made.append(worlds.mapping(number, protocol, family, pod=pod, pod_port=number % 1000 + 1))
    return made


def table(mappings: list[Mapping], family: Family = "IPv4") -> Table:
    near = masquerade.neighbourhoods((), {m.pod_ip for m in mappings})
    return tree.table(mappings, [ADDRESS[family]], near, PORTS, family)


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
    assert {name for name in one.chains | two.chains if one.chains.get(name) != two.chains.get(name)} == {
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
def test_a_packet_that_is_not_for_the_mapping_goes_on_as_if_we_were_not_there(change: dict[str, object]) -> None:
    made = table(rows((61000, "tcp")))
    asked = packet(61000, "tcp")
    assert deliver(made, asked)
    assert deliver(made, replace(asked, **change)) is None  # type: ignore[arg-type]


def test_a_client_on_ipv6_loopback_is_not_ours() -> None:
    made = table(rows((61000, "tcp"), family="IPv6"), "IPv6")
    assert deliver(made, replace(packet(61000, "tcp", "IPv6"), source="::1")) is None


# --- source ranges ---------------------------------------------------------------------------------------------------


def guarded(*cidrs: str) -> Table:
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


def test_the_source_ranges_of_a_live_rule_are_read_back() -> None:
    (rule,) = tree.live(guarded("10.0.0.0/8", "0.0.0.0/0"), "IPv4")
    assert rule.source_ranges == ("10.0.0.0/8", "0.0.0.0/0")


# --- reading back ----------------------------------------------------------------------------------------------------


@given(keys=NUMBERS, family=st.sampled_from(FAMILIES))
def test_live_rules_are_the_mappings(keys: set[tuple[int, Protocol]], family: Family) -> None:
    mappings = rows(*keys, family=family)
    found = tree.live(table(mappings, family), family)
    assert [(r.key, r.pod_ip, r.pod_port) for r in found] == sorted((m.key, m.pod_ip, m.pod_port) for m in mappings)


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
def test_what_is_in_place_is_reached_whatever_rules_are_gone_or_strange_or_swapped(data: st.DataObject) -> None:
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
    want = tree.table(mappings, TWO, (), PORTS, "IPv4")
    found = tree.table(mappings, TWO[1:], (), PORTS, "IPv4")
    assert bool(tree.in_place(found, want, "IPv4", address)) is arrives


@pytest.mark.parametrize("stray", [Unknown("-j LOG"), Rule("RETURN"), None], ids=str)
def test_an_entry_with_a_stray_rule_or_without_the_loopback_rule_lets_nobody_in(stray: Rule | Unknown | None) -> None:
    want = table(rows((61000, "tcp")))
    entry = want.chains["NPLCONF"][1:] if stray is None else (stray, *want.chains["NPLCONF"])
    assert tree.in_place(damaged(want, NPLCONF=entry), want, "IPv4", "10.10.10.10") == frozenset()


def test_a_rule_behind_one_that_nobody_knows_is_not_in_place() -> None:
    want = table(rows((61000, "tcp"), (61100, "tcp")))
    leaf = "NPLCONF-TCP-EE4"
    found = replace(want, chains={**want.chains, leaf: (Unknown("-p tcp -j ACCEPT"), *want.chains[leaf])})
    assert tree.in_place(found, want, "IPv4") == {RuleKey(61100, "IPv4", "tcp")}


def test_a_guard_that_lets_in_others_than_wanted_is_not_in_place() -> None:
    assert tree.in_place(guarded("10.0.0.0/8"), guarded("10.0.0.0/9"), "IPv4") == frozenset()
    assert tree.in_place(table(rows((61000, "tcp"))), guarded("10.0.0.0/9"), "IPv4") == frozenset()


# --- findings --------------------------------------------------------------------------------------------------------


def damaged(want: Table, **chains: object) -> Table:
    kept = {name: rules for name, rules in want.chains.items() if name not in chains}
    return replace(want, chains=kept | {name: rules for name, rules in chains.items() if rules is not None})  # type: ignore[arg-type]


def test_a_sound_table_has_no_findings() -> None:
    want = table(rows((61000, "tcp")))
    assert tree.findings(want, want, "IPv4") == ()


def test_a_node_that_is_new_has_no_findings() -> None:
    assert tree.findings(Table(), table([]), "IPv4") == ()


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
        want, **{"NPLCONF-TCP-E": (), "NPLCONF-UDP": None, "NPLCONF-X": (), "NPLCONF": (Unknown("-j LOG"),)}
    )
    found = {f.subject.removeprefix("IPv4 "): f.message for f in tree.findings(wrong, want, "IPv4")}
    assert found == {
        "NPLCONF": "the chain has a rule that is not ours",
        "NPLCONF-TCP-E": "the chain is not as it must be",
        "NPLCONF-UDP": "the chain is missing",
        "NPLCONF-X": "the chain leads to no mapping",
    }


def test_chains_of_ours_in_a_family_without_an_address_are_a_finding() -> None:
    (finding,) = tree.findings(table([]), None, "IPv4")
    assert finding.kind == "dispatch"
