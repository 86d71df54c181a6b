"""From any table to any other in one transaction, which contains only the differences."""

from dataclasses import replace

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from packets import Kernel

from nplconf.model import PortMapping, PortRange
from nplconf.rules.iptables import tree
from nplconf.rules.iptables.rule import ForeignText, Rule
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
