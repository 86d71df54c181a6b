"""Addresses of Pods and nodes."""

import ipaddress

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st

from nplconf.addresses import canonical, special
from nplconf.desired.addresses import given as given_addresses
from nplconf.desired.addresses import matched_addresses, node_ips, own_addresses
from nplconf.model import Family


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.244.3.17", "10.244.3.17"),
        ("fd00::17", "fd00::17"),
        ("FD00:0::17", "fd00::17"),
        ("255.0.255.255", "255.0.255.255"),
        ("010.1.1.1", None),
        ("10.1.1", None),
        ("10.1.1.1.1", None),
        ("10.1.1.256", None),
        (" 10.1.1.1", None),
        ("10.1.1.1\n", None),
        ("10.1.1.\u0661", None),
        ("10.1.1.1/24", None),
        ("", None),
        ("fe80::1%eth0", None),
        ("::ffff:10.1.1.1", None),
        ("fd00::1::2", None),
        ("host.example", None),
    ],
)
def test_an_address_is_canonical_or_none(text: str, expected: str | None) -> None:
    assert canonical(text) == expected


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_its_own_canonical_form(address: ipaddress.IPv4Address) -> None:
    assert canonical(str(address)) == str(address)


@given(st.text())
def test_no_text_makes_the_check_of_addresses_fail(text: str) -> None:
    found = canonical(text)
    assert found is None or canonical(found) == found


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("10.0.0.1", None),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.200.0.1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("169.253.1.1", None),
        ("223.255.255.255", None),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", None),
        ("255.255.255.255", "broadcast"),
        ("fd00::1", None),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("fe80::1", "link-local"),
        ("ff02::1", "multicast"),
    ],
)
def test_addresses_that_no_pod_can_have_are_named(address: str, kind: str | None) -> None:
    assert special(address) == kind


@pytest.mark.parametrize(
    ("addresses", "overrides", "expected"),
    [
        (worlds.ADDRESSES, {}, {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}),
        (worlds.ADDRESSES, {"IPv4": "192.0.2.7"}, {"IPv4": "192.0.2.7", "IPv6": "fd00:10::10"}),
        # ExternalIP comes before InternalIP in each family for itself
        ([("ExternalIP", "192.0.2.1"), ("InternalIP", "fd00::1")], {}, {"IPv4": "192.0.2.1", "IPv6": "fd00::1"}),
        ([("InternalIP", "10.0.0.1"), ("InternalIP", "10.0.0.2")], {}, {"IPv4": "10.0.0.1"}),
        ([("ExternalIP", "bad"), ("ExternalIP", "192.0.2.9"), ("InternalIP", "10.0.0.2")], {}, {"IPv4": "192.0.2.9"}),
        ([("ExternalIP", "127.0.0.1"), ("InternalIP", "10.0.0.2")], {}, {"IPv4": "10.0.0.2"}),
        ([("InternalIP", "FD00:0::1")], {}, {"IPv6": "fd00::1"}),
        ([("Hostname", "10.0.0.1"), ("InternalDNS", "10.0.0.1")], {}, {}),
        ([("InternalIP", "fe80::1")], {}, {}),
        ([], {}, {}),
    ],
)
def test_the_advertised_address_is_chosen_per_family(
    addresses: list[tuple[str, str]], overrides: dict[Family, str], expected: dict[Family, str]
) -> None:
    assert node_ips(worlds.node(addresses=addresses), overrides) == expected


def test_all_addresses_of_the_node_and_the_advertised_ones_are_matched() -> None:
    node = worlds.node(
        addresses=[
            ("InternalIP", "10.0.0.9"),
            ("ExternalIP", "10.0.0.1"),
            ("InternalIP", "127.0.0.1"),
            ("InternalIP", "x"),
        ]
    )
    matched = matched_addresses(node, {"IPv4": "192.0.2.7"})
    assert matched == {"IPv4": ("10.0.0.1", "10.0.0.9", "192.0.2.7"), "IPv6": ()}


def test_matched_addresses_are_canonical_and_each_once() -> None:
    node = worlds.node(addresses=[("InternalIP", "FD00::1"), ("ExternalIP", "fd00:0::1"), ("InternalIP", "::1")])
    assert matched_addresses(node, {"IPv6": "fd00::1"}) == {"IPv4": (), "IPv6": ("fd00::1",)}


def test_every_address_of_the_node_is_its_own_whatever_its_type() -> None:
    node = worlds.node(addresses=[("InternalIP", "10.0.0.9"), ("Hostname", "worker-1"), ("Custom", "10.0.0.8")])
    assert own_addresses(node, {"IPv4": "192.0.2.7"}) == {"10.0.0.9", "10.0.0.8", "192.0.2.7"}


def test_an_address_of_another_type_is_not_matched_and_a_link_local_one_is() -> None:
    node = worlds.node(addresses=[("InternalIP", "10.0.0.1"), ("InternalIP", "169.254.7.7"), ("Hostname", "10.9.9.9")])
    assert matched_addresses(node, {})["IPv4"] == ("10.0.0.1", "169.254.7.7")


# --- what is advertised by preference --------------------------------------------------------------------------------

MANY = worlds.node(
    addresses=(
        ("Hostname", "worker-1"),
        ("InternalIP", "10.0.0.1"),
        ("InternalIP", "192.168.7.1"),
        ("ExternalIP", "203.0.113.7"),
        ("Hostname", "198.51.100.9"),
        ("InternalIP", "fd00::1"),
        ("ExternalIP", "2001:db8::7"),
    )
)


@pytest.mark.parametrize(
    ("wanted", "address"),
    [
        ("InternalIP", "10.0.0.1"),
        ("ExternalIP|InternalIP", "203.0.113.7"),
        ("InternalIP|ExternalIP", "10.0.0.1"),
        ("Hostname", "198.51.100.9"),
        ("192.168.0.0/16", "192.168.7.1"),
        ("172.16.0.0/12|ExternalIP", "203.0.113.7"),
        ("203.0.113.0/24|InternalIP", "203.0.113.7"),
        ("192.0.2.1", "192.0.2.1"),
        ("172.16.0.0/12", None),
    ],
)
def test_an_address_is_chosen_by_type_and_network_in_order_of_preference(wanted: str, address: str | None) -> None:
    assert node_ips(MANY, {"IPv4": wanted}).get("IPv4") == address
    assert node_ips(MANY, {"IPv4": wanted})["IPv6"] == "2001:db8::7"


def test_a_network_of_ipv6() -> None:
    assert node_ips(MANY, {"IPv6": "fd00::/8"}) == {"IPv4": "203.0.113.7", "IPv6": "fd00::1"}


def test_only_addresses_are_given_without_a_node() -> None:
    assert given_addresses({"IPv4": "InternalIP", "IPv6": "fd00::9"}) == {"IPv6": "fd00::9"}
