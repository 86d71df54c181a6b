"""Only packets whose replies would bypass this node are masqueraded, and no packet traverses a rule per Pod."""

from ipaddress import ip_address, ip_network
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.model import FAMILIES, Family, MasqueradeSource, PortRange
from nplconf.rules.iptables import masquerade
from nplconf.rules.iptables.masquerade import CHAIN
from nplconf.rules.iptables.rule import Rule, parse, to_text
from nplconf.rules.masquerade import Route, masquerade_sources

PORTS = PortRange(61000, 62000)
NODE: dict[Family, str] = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
NETWORK: dict[Family, str] = {"IPv4": "10.244.0.0", "IPv6": "fd00:244::"}
HERE = Route("10.244.4.0/24", bridged=True)


def pod(number: int, family: Family) -> str:
    return str(ip_address(int(ip_address(NETWORK[family])) + number))


def chains(*places: MasqueradeSource, family: Family = "IPv4", ports: PortRange = PORTS) -> dict[str, tuple[Rule, ...]]:
    return masquerade.chains(places, [NODE[family]], ports, "NPLCONF-POST", family)


def walked(made: dict[str, tuple[Rule, ...]], source: str, pod_ip: str, number: int = 61044) -> tuple[bool, int]:
    """Whether a translated packet to a Pod is masqueraded, and how many rules it was held against."""
    chain, checked = made["NPLCONF-POST"], 0
    while True:
        for rule in chain:
            checked += 1
            if _matches(rule, source, pod_ip, number):
                break
        else:
            return False, checked
        if not rule.goto:
            return rule.target == "MASQUERADE", checked
        chain = made[rule.target]


def _matches(rule: Rule, source: str, destination: str, number: int) -> bool:
    first, _, last = rule.original_ports.partition(":")
    return (
        (not rule.source or ip_address(source) in ip_network(rule.source))
        and (not rule.destination or ip_address(destination) in ip_network(rule.destination))
        and (not rule.original_ports or int(first) <= number <= int(last or first))
    )


@given(st.sets(st.integers(1, 5000), max_size=30), st.sampled_from(FAMILIES), st.data())
def test_a_pod_is_masqueraded_only_to_itself(numbers: set[int], family: Family, data: st.DataObject) -> None:
    ips = [pod(number, family) for number in sorted(numbers)]
    made = chains(*masquerade_sources((), ips), family=family)
    sources = [*ips, pod(5001, family), NODE[family]]
    for ip in ips:
        assert walked(made, ip, ip)[0]
        source = data.draw(st.sampled_from(sources))
        assert walked(made, source, ip)[0] is (source == ip)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_outside_client_walks_a_rule_per_256_pods(family: Family) -> None:
    made = chains(*masquerade_sources((), [pod(number, family) for number in range(2560)]), family=family)
    client = "192.0.2.9" if family == "IPv4" else "2001:db8::9"
    masqueraded, checked = walked(made, client, pod(2559, family))
    assert not masqueraded
    assert checked <= 1 + 10 + 1


@given(st.sets(st.integers(1, 600), min_size=1, max_size=30), st.sampled_from(FAMILIES))
def test_no_rule_of_others_masquerades_what_we_leave_as_it_is(numbers: set[int], family: Family) -> None:
    made = chains(*masquerade_sources((), [pod(number, family) for number in numbers]), family=family)
    for name, rules in made.items():
        assert name == "NPLCONF-POST" or rules[-1] == Rule("ACCEPT")


def test_what_was_not_sent_to_our_numbers_is_left_alone() -> None:
    made = chains(*masquerade_sources((), ["10.244.0.1"]))
    assert walked(made, "10.244.0.1", "10.244.0.1", number=62000)[0]
    assert not walked(made, "10.244.0.1", "10.244.0.1", number=62001)[0]


def test_pods_on_the_same_bridge_that_passes_conntrack_by_are_masqueraded() -> None:
    made = chains(*masquerade_sources((HERE,), ["10.244.4.11", "10.244.3.1"]))
    assert walked(made, "10.244.4.12", "10.244.4.11")[0]
    assert walked(made, "10.244.4.11", "10.244.4.11")[0]
    assert not walked(made, "10.244.3.1", "10.244.4.11")[0]
    assert not walked(made, "10.244.4.11", "10.244.3.1")[0]
    assert walked(made, "10.244.3.1", "10.244.3.1")[0]


@pytest.mark.parametrize(
    ("network", "pod_ip", "neighbour", "stranger"),
    [
        ("10.244.0.0/16", "10.244.4.11", "10.244.5.12", "10.245.4.12"),
        ("fd00:244::/64", "fd00:244::11", "fd00:244::5:12", "fd00:245::12"),
    ],
)
def test_distant_addresses_on_a_large_bridge_are_masqueraded_too(
    network: str, pod_ip: str, neighbour: str, stranger: str
) -> None:
    family: Family = "IPv6" if ":" in pod_ip else "IPv4"
    made = chains(*masquerade_sources((Route(network, bridged=True),), [pod_ip]), family=family)
    assert walked(made, neighbour, pod_ip)[0]
    assert not walked(made, stranger, pod_ip)[0]


def test_the_longest_prefix_says_where_a_pod_is() -> None:
    nearer = Route("10.244.4.11/32", bridged=False)
    (place,) = masquerade_sources((HERE, nearer), ["10.244.4.11"])
    assert place.source == "10.244.4.11/32"


@given(st.sets(st.integers(1, 5000), max_size=30), st.sampled_from(FAMILIES))
def test_blocks_whose_names_collide_serve_all_the_same(numbers: set[int], family: Family) -> None:
    ips = [pod(number, family) for number in sorted(numbers)]
    with mock.patch.object(masquerade, "crc32", return_value=7):
        made = chains(*masquerade_sources((), ips), family=family)
    assert all(walked(made, ip, ip)[0] for ip in ips)


def test_a_range_of_one_number_is_written_as_iptables_prints_it() -> None:
    (rule,) = chains(ports=PortRange(61000, 61000))["NPLCONF-POST"]
    assert to_text(rule) == f"-m conntrack --ctorigdst 10.10.10.10 --ctorigdstport 61000 -g {CHAIN}"


@given(st.sets(st.integers(1, 5000), max_size=30), st.sampled_from(FAMILIES))
def test_every_rule_may_be_written_and_the_order_of_pods_makes_no_difference(numbers: set[int], family: Family) -> None:
    ips = [pod(number, family) for number in numbers]
    made = chains(*masquerade_sources((), ips), family=family)
    assert made == chains(*reversed(masquerade_sources((), ips[::-1])), family=family)
    assert all(len(name) <= 28 for name in made)
    assert all(parse(to_text(rule)) == rule for rules in made.values() for rule in rules)
