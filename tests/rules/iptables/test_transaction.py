"""From any table to any other in one transaction, which contains only the differences."""

import re
from dataclasses import replace

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from packets import Kernel

from nplconf.model import PortMapping, PortRange
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.rule import ForeignText, Rule, to_text
from nplconf.rules.iptables.table import JUMPS, Base, NatTable
from nplconf.rules.iptables.transaction import transaction
from nplconf.rules.masquerade import masquerade_sources

FOREIGN = {
    "PREROUTING": ['-m comment --comment "see -j NPLCONF there" -j KUBE-SERVICES', "-j DOCKER"],
    "OUTPUT": ["-j KUBE-SERVICES"],
    "POSTROUTING": ["-s 10.244.0.0/16 -j ACCEPT"],
    "INPUT": [],
    "KUBE-SERVICES": ["-d 10.96.0.1/32 -j ACCEPT"],
    "DOCKER": [],
}
NUMBERS = st.sets(st.integers(61000, 61060), max_size=12)


def table(numbers: set[int]) -> NatTable:
    rows = [worlds.mapping(number, pod=worlds.ref(f"web-{number}")) for number in numbers]
    near = masquerade_sources((), {row.pod_ip for row in rows})
    return tree.build(rows, ["10.10.10.10"], near, PortRange(61000, 62000), "IPv4")


def kernel() -> Kernel:
    return Kernel({name: list(rules) for name, rules in FOREIGN.items()})


def foreign(state: Kernel) -> dict[str, list[str]]:
    """Return all foreign lines, in their order."""
    jumps = set(JUMPS.values()) | {"-g NPLCONF", "-p tcp -j NPLCONF"}
    return {
        name: [rule for rule in rules if rule not in jumps]
        for name, rules in state.chains.items()
        if not name.startswith("NPLCONF")
    }


@given(before=NUMBERS, after=NUMBERS)
def test_one_transaction_leads_from_any_mappings_to_any_others(before: set[int], after: set[int]) -> None:
    state = kernel()
    for numbers in (before, after):
        text = transaction(table(numbers), state.table())
        if text:
            state.restore(text)
        assert not tree.differs(state.table(), table(numbers))
        assert foreign(state) == FOREIGN
    assert transaction(table(after), state.table()) == ""


@given(before=NUMBERS, added=NUMBERS)
def test_a_mapping_that_is_added_empties_no_chain(before: set[int], added: set[int]) -> None:
    state = kernel()
    state.restore(transaction(table(before), state.table()))
    there = set(state.chains)
    text = transaction(table(before | added), state.table())
    assert not {line[1:].split()[0] for line in text.split("\n") if line.startswith(":")} & there
    assert not re.findall(r"^-[DX] ", text, re.MULTILINE)


@given(have=st.lists(st.integers(0, 9), unique=True, max_size=8), data=st.data())
def test_each_place_is_that_of_a_rule_that_was_there_before(have: list[int], data: st.DataObject) -> None:
    want = data.draw(st.permutations(range(12)).map(lambda new: sorted({*have, *new[:4]}, key=lambda n: (n * 7) % 12)))
    have.sort(key=lambda n: (n * 7) % 12)
    rules = {number: Rule(f"NPLCONF-{number}") for number in range(12)}
    before, after = (NatTable({"NPLCONF": tuple(rules[n] for n in numbers)}) for numbers in (have, want))
    chain = [to_text(rules[n]) for n in have]
    for line in transaction(after, before).split("\n")[1:-2]:
        verb, _, text = line.split(" ", 2)
        place, text = text.split(" ", 1) if verb == "-I" else ("0", text)
        assert int(place) <= len(have)
        chain.insert(int(place) - 1 if verb == "-I" else len(chain), text)
    assert chain == [to_text(rules[n]) for n in want]


@given(before=NUMBERS, after=NUMBERS)
def test_without_places_each_chain_that_differs_is_written_from_its_first_rule(
    before: set[int], after: set[int]
) -> None:
    state = kernel()
    state.restore(transaction(table(before), state.table()))
    text = transaction(table(after), state.table(), insert=False)
    assert "-I NPLCONF" not in text
    if text:
        state.restore(text)
    assert not tree.differs(state.table(), table(after))


@given(numbers=NUMBERS)
def test_nothing_of_nplconf_is_left_when_nothing_is_wanted(numbers: set[int]) -> None:
    state = kernel()
    state.restore(transaction(table(numbers), state.table()))
    state.restore(transaction(None, state.table()))
    assert state.chains == FOREIGN
    assert transaction(None, state.table()) == ""


@given(numbers=NUMBERS, after=NUMBERS, data=st.data())
def test_one_transaction_repairs_any_damage(numbers: set[int], after: set[int], data: st.DataObject) -> None:
    state = kernel()
    state.restore(transaction(table(numbers), state.table()))
    ours = sorted(name for name in state.chains if name.startswith("NPLCONF"))
    for _ in range(data.draw(st.integers(1, 5))):
        name = data.draw(st.sampled_from([*ours, *JUMPS]))
        rules = state.chains[name]
        damage = data.draw(st.sampled_from(["flush", "double", "stray", "first"]))
        if damage == "flush":
            state.chains[name] = [] if name in ours else [rule for rule in rules if "-j NPLCONF" not in rule[:11]]
        elif damage == "double" and rules:
            rules.append(data.draw(st.sampled_from(rules)) if name in ours else JUMPS[name])
        elif damage == "stray":
            rules.append("-p tcp -j NPLCONF" if name in JUMPS else "-p udp -j LOG")
        elif name in JUMPS:
            rules.insert(0, JUMPS[name])
    untouched = foreign(state)
    if text := transaction(table(after), state.table()):
        state.restore(text)
    assert not tree.differs(state.table(), table(after))
    assert foreign(state) == untouched


def test_a_change_of_one_mapping_writes_one_chain() -> None:
    state = kernel()
    state.restore(transaction(table({61000, 61001, 61040}), state.table()))
    moved = worlds.mapping(61001, pod=worlds.ref("web-61001"))._replace(pod_port=9999)
    rows: list[PortMapping] = [worlds.mapping(n, pod=worlds.ref(f"web-{n}")) for n in (61000, 61040)]
    near = masquerade_sources((), {moved.pod_ip})
    want = tree.build([*rows, moved], ["10.10.10.10"], near, PortRange(61000, 62000), "IPv4")
    lines = transaction(want, state.table()).splitlines()
    assert [line for line in lines if line[0] == ":"] == [":NPLCONF-TCP-EE4 - [0:0]"]
    assert len(lines) == 5


def test_a_doubled_jump_goes_once_per_double_and_comes_back_once() -> None:
    state = kernel()
    state.restore(transaction(table(set()), state.table()))
    state.chains["PREROUTING"].append("-j NPLCONF")
    assert transaction(table(set()), state.table()).splitlines() == [
        "*nat",
        "-D PREROUTING -j NPLCONF",
        "-D PREROUTING -j NPLCONF",
        "-A PREROUTING -j NPLCONF",
        "COMMIT",
    ]


@pytest.mark.parametrize("tag", ["a\nCOMMIT", "a\0b", 'a" -j RETURN'])
def test_a_table_with_a_rule_outside_the_grammar_is_not_written_at_all(tag: str) -> None:
    want = replace(table(set()), chains={"NPLCONF": (Rule("DNAT", comment=tag),)})
    with pytest.raises(ValueError, match="not a rule"):
        transaction(want, NatTable())


def test_a_jump_that_is_more_than_one_printable_line_is_not_spelled_out() -> None:
    text = '-m comment --comment "a\n-F" -j NPLCONF'
    have = replace(table(set()), bases={**table(set()).bases, "PREROUTING": Base((text,), "foreign")})
    assert transaction(table(set()), have) == "*nat\n-A PREROUTING -j NPLCONF\nCOMMIT\n"


def test_a_chain_of_nplconf_that_nothing_leads_to_is_deleted() -> None:
    have = replace(table(set()), chains={**table(set()).chains, "NPLCONF-X": ()})
    assert transaction(table(set()), have).splitlines() == ["*nat", ":NPLCONF-X - [0:0]", "-X NPLCONF-X", "COMMIT"]
    assert transaction(table(set()), have, sweep=False).splitlines() == ["*nat", ":NPLCONF-X - [0:0]", "COMMIT"]


def test_an_unknown_rule_is_never_written_back() -> None:
    found = replace(table(set()), chains={**table(set()).chains, "NPLCONF-TCP": (ForeignText("-j LOG"),)})
    text = transaction(table(set()), found)
    assert ":NPLCONF-TCP - [0:0]" in text
    assert "LOG" not in text
