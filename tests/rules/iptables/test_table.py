"""nplconf's chains and jumps in iptables' output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.rules.iptables.rule import ForeignText, Rule
from nplconf.rules.iptables.table import INDEX, NatTable, linked, read

JUMP = "-A PREROUTING -j NPLCONF"
POST = "-A POSTROUTING -m conntrack --ctstate DNAT -j NPLCONF-POST"
SERVICES = '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
FOREIGN = "-A POSTROUTING -s 10.244.0.0/16 -j ACCEPT"


def dump(*lines: str) -> NatTable:
    return read("\n".join(lines))


def place(chain: str, *lines: str) -> str:
    return dump(*lines).bases[chain].place


def test_a_table_without_anything_of_nplconf_is_empty() -> None:
    assert dump("-P PREROUTING ACCEPT", SERVICES, ":KUBE-SERVICES - [0:0]", "-A KUBE-SERVICES -j RETURN").empty


def test_a_table_with_only_a_jump_is_not_empty() -> None:
    assert not dump(JUMP).empty


def test_a_chain_without_rules_is_there() -> None:
    assert dump(":NPLCONF - [0:0]").chains == dump("-N NPLCONF").chains == {"NPLCONF": ()}


def test_save_and_list_say_the_same() -> None:
    rules = ["-A NPLCONF -s 127.0.0.0/8 -j RETURN", JUMP]
    assert dump(":NPLCONF - [0:0]", *rules) == dump("-N NPLCONF", *rules)


def test_a_rule_of_nplconf_that_is_not_in_the_grammar_is_unknown() -> None:
    text = "-p tcp -m tcp --dport 61000 -m limit --limit 1/sec -j DNAT --to-destination 10.0.0.1:80"
    assert dump(f"-A NPLCONF-TCP {text}").chains["NPLCONF-TCP"] == (ForeignText(text),)


def test_a_jump_behind_the_services_is_right() -> None:
    assert place("PREROUTING", SERVICES, JUMP) == "right"


def test_a_jump_before_the_services_has_moved() -> None:
    assert place("PREROUTING", JUMP, SERVICES) == "moved"


def test_a_jump_need_not_be_the_last() -> None:
    assert place("PREROUTING", SERVICES, JUMP, "-A PREROUTING -j DOCKER") == "right"


def test_a_jump_behind_the_services_is_right_whatever_stands_before_them() -> None:
    assert place("PREROUTING", "-A PREROUTING -j DOCKER", SERVICES, JUMP) == "right"


def test_two_jumps_are_doubled() -> None:
    assert place("PREROUTING", JUMP, JUMP) == "doubled"


def test_a_way_into_our_chains_beside_the_jump_is_foreign() -> None:
    assert place("PREROUTING", JUMP, "-A PREROUTING -p tcp -j NPLCONF") == "foreign"


def test_no_jump_is_missing() -> None:
    assert place("PREROUTING", SERVICES) == "missing"


@pytest.mark.parametrize("text", ["-g NPLCONF", "-p tcp -j NPLCONF", "-j NPLCONF-TCP"])
def test_another_way_into_our_chains_is_foreign(text: str) -> None:
    assert place("PREROUTING", f"-A PREROUTING {text}") == "foreign"


def test_the_jump_of_postrouting_is_the_first_rule() -> None:
    assert place("POSTROUTING", POST, FOREIGN) == "right"
    assert place("POSTROUTING", FOREIGN, POST) == "moved"


@pytest.mark.parametrize("comment", ["see -j NPLCONF there", 'a \\" -j NPLCONF', "-g NPLCONF-TCP"])
def test_a_foreign_rule_is_foreign_whatever_its_comment_says(comment: str) -> None:
    assert place("PREROUTING", f'-A PREROUTING -m comment --comment "{comment}" -j ACCEPT') == "missing"


def test_a_comment_that_speaks_of_the_services_is_no_jump_to_them() -> None:
    spoken = '-A PREROUTING -m comment --comment "before -j KUBE-SERVICES" -j ACCEPT'
    assert place("PREROUTING", JUMP, spoken) == "right"


def test_a_target_that_only_begins_like_one_of_nplconf_is_foreign() -> None:
    assert place("PREROUTING", "-A PREROUTING -j NPLCONFIGURED") == "missing"


@pytest.mark.parametrize(
    ("lines", "whole"),
    [
        ((f"-A {INDEX} -g NPLCONF", "-N NPLCONF"), True),
        ((f"-A {INDEX} -g NPLCONF", "-A NPLCONF -g NPLCONF-TCP"), False),
        ((f"-A {INDEX} -g NPLCONF", "-N NPLCONF", "-N NPLCONF-TCP"), False),
        ((f"-A {INDEX} -g NPLCONF",), False),
        (("-N NPLCONF",), False),
        ((f"-A {INDEX} -g NPLCONF", f"-A {INDEX} -j LOG", "-A NPLCONF -j LOG"), True),
    ],
    ids=[
        "all named",
        "led to and not named",
        "there and not named",
        "named and not there",
        "no index",
        "strange rules",
    ],
)
def test_an_index_is_whole_when_it_names_every_chain(lines: tuple[str, ...], *, whole: bool) -> None:
    assert linked(dump(*lines)) is whole


def test_a_rule_reads_as_the_value_it_was_written_from() -> None:
    assert dump("-A NPLCONF -s 127.0.0.0/8 -j RETURN").chains["NPLCONF"] == (Rule("RETURN", source="127.0.0.0/8"),)


# --- what others write -----------------------------------------------------------------------------------------------

RULE_OF_OURS = "-A NPLCONF-TCP -p tcp -m tcp --dport 61000 -j DNAT --to-destination 10.0.0.1:80"


@pytest.mark.parametrize("end", ["\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
@pytest.mark.parametrize("before", ["a", 'a \\"', "a \\\\", "a \\", "", 'a" -m comment --comment "b'])
def test_a_line_within_a_foreign_comment_is_no_line(end: str, before: str) -> None:
    forged = (
        f'-A PREROUTING -m comment --comment "{before}{end}{RULE_OF_OURS}{end}{JUMP}{end}:NPLCONF-X - [0:0]" -j ACCEPT'
    )
    found = dump(SERVICES, forged, JUMP, "-A NPLCONF -j RETURN")
    assert found.chains == {"NPLCONF": (Rule("RETURN"),)}
    assert found.bases["PREROUTING"].jumps == ("-j NPLCONF",)
    assert found.bases["PREROUTING"].place == "right"


@pytest.mark.parametrize("name", ["NPLCONFIG", "NPLCONFIG-TCP", "NPLCONF_TCP", "NPLCONF-", "NPLCONF-a;b"])
def test_a_chain_whose_name_only_begins_like_one_of_nplconf_is_foreign(name: str) -> None:
    assert dump(f":{name} - [0:0]", f"-N {name}", f"-A {name} -j RETURN", f"-A INPUT -j {name}").empty


def test_a_way_into_our_chains_from_input_is_foreign() -> None:
    assert place("INPUT", "-A INPUT -j NPLCONF-TCP") == "foreign"
    assert place("INPUT", "-A INPUT -j KUBE-FIREWALL") == "right"


@given(st.text(alphabet=st.sampled_from('-AjgpNPLCONF:"\\ \n\ttcp0123456789/.[]\x00\x1b\u2028'), max_size=300))
def test_no_text_makes_reading_fail(text: str) -> None:
    for rules in read(text).chains.values():
        assert all(isinstance(rule, Rule | ForeignText) for rule in rules)


def test_the_rules_of_others_that_will_stand_before_the_jump_are_kept_as_text() -> None:
    def ahead(*rules: str) -> tuple[str, ...] | None:
        return read("".join(f"-A PREROUTING {rule}\n" for rule in rules)).bases["PREROUTING"].ahead

    assert ahead("-j A", "-j NPLCONF", "-j B") == ("-j A",)
    assert ahead("-j A", "-j B") == ("-j A", "-j B")
    assert ahead("-j A", "-j NPLCONF", "-j B", "-j NPLCONF") == ("-j A", "-j B")
    assert ahead("-j NPLCONF", "-j KUBE-SERVICES") == ("-j KUBE-SERVICES",)
