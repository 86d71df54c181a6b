"""Valid addresses and networks."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.addresses import address_fault, family_of, misleading, network_fault


@given(st.ip_addresses())
def test_only_the_spelling_that_others_print_is_right(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    family, other = ("IPv4", "IPv6") if address.version == 4 else ("IPv6", "IPv4")
    assert address_fault(str(address), other) is not None  # type: ignore[arg-type]
    if address.exploded != str(address):
        assert address_fault(address.exploded, "IPv6") is not None
    disguised = address.version == 6 and address.ipv4_mapped is not None
    if address.is_global and not address.is_multicast and not disguised:
        assert address_fault(str(address), family) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "fe80::1%eth0", "fd12::1%1", "10.0.0.1\n", " 10.0.0.1", "1.2.3", "\u0660.0.0.1", "[fd12::1]"]
)
def test_any_other_text_than_an_address_has_a_fault_in_both_families(text: str) -> None:
    assert address_fault(text, "IPv4")
    assert address_fault(text, "IPv6")


def test_a_fault_says_how_the_address_is_to_be_written() -> None:
    assert address_fault("FD12::1", "IPv6") == "is to be written fd12::1"


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("unspecified", ["0.0.0.0", "0.1.2.3", "::"]),
        ("loopback", ["127.0.0.1", "127.255.255.255", "::1"]),
        ("link-local", ["169.254.0.1", "fe80::1"]),
        ("multicast", ["224.0.0.1", "239.255.255.255", "ff02::1"]),
        ("broadcast", ["255.255.255.255"]),
    ],
)
def test_an_address_that_no_single_machine_has_is_named_by_its_kind(kind: str, texts: list[str]) -> None:
    assert {address_fault(text, family_of(text)) for text in texts} == {f"is a {kind} address"}


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("metadata", ["168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"]),
        ("translated", ["64:ff9b::a0a:a0a", "64:ff9b::ffff:ffff", "64:ff9b:1:2::1", "2002:a0a:a0a::1", "2001::1"]),
        ("translated", ["::ffff:0:a0a:a0a", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"]),
        (None, ["10.10.10.10", "168.63.129.17", "fd00:ec2::253", "64:ff9b::1:a0a:a0a", "64:ff9a::1", "64:ff9b:2::1"]),
        (None, ["2003::1", "2001:1::1", "2001:db8::1", "::ffff:1:a0a:a0a", "fd00:244::17"]),
    ],
)
def test_an_address_that_leads_elsewhere_is_named_by_its_kind(kind: str | None, texts: list[str]) -> None:
    assert {misleading(text) for text in texts} == {kind}


@pytest.mark.parametrize(
    "text", ["10.254.0.1", "169.25.4.1", "223.255.255.255", "240.0.0.1", "::8000", "::ffff", "::1:0:0", "fec0::1"]
)
def test_an_address_that_only_looks_special_is_valid(text: str) -> None:
    assert address_fault(text, family_of(text)) is None


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_network_is_right_without_host_bits_and_in_one_spelling(address: object, prefix: int) -> None:
    bits = 32 if isinstance(address, ipaddress.IPv4Address) else 128
    network = ipaddress.ip_network(f"{address}/{prefix % (bits + 1)}", strict=False)
    canonical = str(network)
    disguised = bits == 128 and int(network.network_address) >> 32 in (0, 0xFFFF) and int(network.network_address) >> 16
    assert (network_fault(canonical) is None) == (not disguised)
    if address != network.network_address:
        assert network_fault(f"{address}/{network.prefixlen}")


@pytest.mark.parametrize("text", ["::ffff:10.0.0.1", "::ffff:a00:1", "::10.0.0.1", "::a00:1", "::1:0", "::ffff:ffff"])
def test_an_ipv4_address_in_ipv6_is_none(text: str) -> None:
    assert address_fault(text, "IPv6")
    assert network_fault(f"{text}/128") == "is an IPv4 network in disguise"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.0",
        "10/8",
        "10.0.0.1/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/33",
        "fd00::1/8",
        "FD00::/8",
        "10.0.0.0/08",
        "x/8",
    ],
)
def test_every_other_spelling_of_a_network_is_a_fault(text: str) -> None:
    assert network_fault(text)
