"""One grammar for reading and writing rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.rules.iptables.rule import ForeignText, Rule, parse, to_text

LEAF = (
    '-p tcp -m tcp --dport 61000 -m comment --comment "nplconf:shop/web-0:80:u1" -j DNAT --to-destination 10.0.0.1:80'
)
PRINTED = [
    "-s 127.0.0.0/8 -j RETURN",
    "-s ::1/128 -j RETURN",
    "-d 10.0.0.1/32 -p tcp -m addrtype --dst-type LOCAL -g NPLCONF-TCP",
    "-d fd00::1/128 -p udp -m addrtype --dst-type LOCAL -g NPLCONF-UDP",
    "-p udp -m udp --dport 57344:61439 -g NPLCONF-UDP-E",
    "-m conntrack --ctorigdst 10.0.0.1 --ctorigdstport 61000:62000 -g NPLCONF-MASQ",
    "-s 10.244.3.0/24 -d 10.244.3.0/24 -g NPLCONF-MASQ-0A1B2C3D",
    "-s 10.244.3.17/32 -d 10.244.3.17/32 -j MASQUERADE",
    "-m mark --mark 0x0/0x6000 -j ACCEPT",
    "-g NPLCONF-INDEX",
    LEAF,
    LEAF.replace("10.0.0.1:80", "[fd00::1]:80"),
]
"""As iptables 1.8.9 prints them, nft and legacy alike."""


@pytest.mark.parametrize("text", PRINTED)
def test_rules_are_written_as_the_kernel_prints_them(text: str) -> None:
    rule = parse(text)
    assert isinstance(rule, Rule)
    assert to_text(rule) == text


def test_quotes_around_a_comment_make_no_difference() -> None:
    assert parse(LEAF.replace('"', "")) == parse(LEAF)


@pytest.mark.parametrize(
    "text",
    [
        "",
        LEAF + "\n",
        LEAF + " --random",
        " " + LEAF,
        LEAF.replace("--dport 61000", "--dport 061000"),
        LEAF.replace("--dport 61000", "--dport 0x61"),
        LEAF.replace("--dport 61000", "--dport 65536"),
        LEAF.replace("-m tcp", "-m udp"),
        LEAF.replace('"nplconf', "nplconf"),
        LEAF.replace("10.0.0.1:80", "10.0.0.256:80"),
        LEAF.replace("10.0.0.1:80", "[10.0.0.1]:80"),
        LEAF.replace("10.0.0.1:80", "10.0.0.1:80-90"),
        LEAF.replace(" --to-destination 10.0.0.1:80", ""),
        LEAF.replace("-j DNAT", "-g DNAT"),
        "-s 10.0.0.0/33 -j RETURN",
        "-g NPLCONFIGURED",
        LEAF.replace("--dport 61000", "! --dport 61000"),
        LEAF.replace("-j DNAT", "-m limit --limit 1/sec -j DNAT"),
        LEAF.replace("nplconf:", 'np\\"conf:'),
        LEAF.replace("web-0", "web\t0"),
        "-j ACCEPT",
        "-j KUBE-SERVICES",
        "! -s 10.0.0.0/8 -j RETURN",
    ],
)
def test_a_rule_outside_the_grammar_is_unknown_and_stays_as_text(text: str) -> None:
    assert parse(text) == ForeignText(text)


@pytest.mark.parametrize(
    "tag", ["a\n-A NPLCONF -j RETURN", "a\0", 'a" -j RETURN', "a\\", "a b", "a'", "ä", "", "\x1b[2J"]
)
def test_a_comment_with_any_other_character_is_never_written(tag: str) -> None:
    rule = Rule("DNAT", protocol="tcp", ports="61000", comment=tag or " ", to="10.0.0.1:80")
    with pytest.raises(ValueError, match="not a rule"):
        to_text(rule)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("DNAT", protocol="tcp", ports="061000", to="10.0.0.1:80"),
        Rule("DNAT", protocol="tcp", ports="61000 ", to="10.0.0.1:80"),
        Rule("DNAT", protocol="dccp", ports="61000", to="10.0.0.1:80"),
        Rule("DNAT", protocol="tcp", ports="61000", to="example.org:80"),
        Rule("DNAT", protocol="tcp", ports="61000", to="10.0.0.1:80 --random"),
        Rule("DROP"),
        Rule("RETURN", source="10.0.0.0/8 -j ACCEPT"),
        Rule("NPLCONF\n-F"),
    ],
    ids=str,
)
def test_a_value_outside_the_grammar_is_never_written(rule: Rule) -> None:
    with pytest.raises(ValueError, match="not a rule"):
        to_text(rule)


@given(
    st.builds(
        Rule,
        st.sampled_from(["DNAT", "RETURN", "NPLCONF", "ACCEPT", "DNAT\n"]),
        goto=st.booleans(),
        source=st.text(max_size=8),
        destination=st.sampled_from(["", "10.0.0.1/32", "10.0.0.1"]),
        local=st.booleans(),
        original=st.sampled_from(["", "10.0.0.1", "::1", "x"]),
        original_ports=st.sampled_from(["", "0", "61000:62000", "61000 "]),
        protocol=st.sampled_from(["", "tcp", "udp", "icmp"]),
        ports=st.text("0123456789: ", max_size=6),
        comment=st.text(max_size=8),
        to=st.text("0123456789.:[]af \n", max_size=12),
    )
)
def test_whatever_is_written_is_one_line_and_reads_as_the_same_value(rule: Rule) -> None:
    try:
        text = to_text(rule)
    except ValueError:
        return
    assert "\n" not in text
    assert parse(text) == rule
