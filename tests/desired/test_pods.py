"""The ports that Services request of one Pod."""

from collections.abc import Sequence

import pytest
import worlds

from nplconf.desired.offers import Offer
from nplconf.desired.pods import PortRequest, Site, running, shared_addresses
from nplconf.desired.requests import requests
from nplconf.desired.shapes import Shape
from nplconf.model import PROTOCOLS, ContainerPort, Pod, Service, Skipped

SITE = Site(worlds.NODE_IPS, frozenset({"10.0.0.1", "10.10.10.10", "fd00::1", "fd00:10::10"}), frozenset())


def both(pod: Pod, services: Sequence[Service], site: Site) -> tuple[list[PortRequest], list[Skipped]]:
    found = requests(pod, Shape([Offer(service) for service in services], pod.ports), site)
    return list(found.requests), list(found.skipped)


def asked(pod: Pod, *services: Service, site: Site = SITE) -> list[PortRequest]:
    return both(pod, services, site)[0]


def skipped(pod: Pod, *services: Service, site: Site = SITE) -> list[Skipped]:
    found, rows = both(pod, services, site)
    assert found == [], "nothing was expected to be served"
    return rows


def reasons(pod: Pod, *services: Service, site: Site = SITE) -> list[str]:
    return [row.reason for row in skipped(pod, *services, site=site)]


def test_a_numeric_target_port_needs_no_container_port() -> None:
    (request,) = asked(worlds.pod(), worlds.service(ports=((8080, "TCP"),)))
    assert (request.port, request.protocol, request.family, request.node_ip, request.pod_ip, request.host_port) == (
        8080,
        "tcp",
        "IPv4",
        "10.10.10.10",
        "10.244.3.17",
        0,
    )


def test_services_that_ask_for_the_same_port_are_united_sorted() -> None:
    (request,) = asked(worlds.pod(), worlds.service("b"), worlds.service("a", ports=((8080, "TCP"), (8080, "TCP"))))
    assert request.services == ("shop/a", "shop/b")


def test_a_family_lists_only_the_services_that_ask_for_it() -> None:
    pod = worlds.pod(ips=["10.244.3.17", "fd00:244::17"])
    found = asked(pod, worlds.service("a"), worlds.service("b", families=worlds.BOTH))
    assert {w.family: w.services for w in found} == {"IPv4": ("shop/a", "shop/b"), "IPv6": ("shop/b",)}


NAMED = (
    ContainerPort(9000, "http", "UDP"),
    ContainerPort(8080, "http", "TCP"),
    ContainerPort(8081, "http", "TCP"),
    ContainerPort(7000, "", "TCP"),
)


@pytest.mark.parametrize(("protocol", "port"), [("TCP", 8080), ("UDP", 9000)])
def test_a_named_target_port_is_the_first_of_that_name_and_protocol(protocol: str, port: int) -> None:
    (request,) = asked(worlds.pod(ports=NAMED), worlds.service(ports=(("http", protocol),)))
    assert request.port == port


@pytest.mark.parametrize("name", ["https", "", "HTTP", "8080"])
def test_a_name_that_no_container_port_has_is_unresolved_and_is_the_pod_port_of_its_row(name: str) -> None:
    (row,) = skipped(worlds.pod(ports=NAMED), worlds.service(ports=((name, "TCP"),)))
    assert (row.reason, row.pod_port, row.pod, row.service) == ("named-port-unresolved", name, "shop/web-0", "shop/web")


def test_a_hostile_port_name_is_escaped_in_its_row() -> None:
    (row,) = skipped(worlds.pod(), worlds.service(ports=(("a\x1b[2J", "TCP"),)))
    assert row.pod_port == "a\\x1b[2J"
    assert "\x1b" not in row.message


@pytest.mark.parametrize("protocol", ["SCTP", "(malformed)", "TCP\n"])
def test_a_protocol_that_cannot_be_mapped_is_skipped(protocol: str) -> None:
    (row,) = skipped(worlds.pod(), worlds.service(ports=((8080, protocol),)))
    assert row.reason == "protocol-unsupported"
    assert row.message.isprintable()


def test_an_unsupported_protocol_of_a_named_port_shows_its_number_where_it_is_known() -> None:
    pod = worlds.pod(ports=[ContainerPort(9090, "job", "SCTP")])
    (row,) = skipped(pod, worlds.service(ports=(("job", "SCTP"), ("other", "SCTP"))))
    assert (row.pod_port, row.protocol, row.reason, row.more) == (9090, "sctp", "protocol-unsupported", 1)


def test_one_bad_port_does_not_keep_the_others_from_being_served() -> None:
    found, rows = both(worlds.pod(), [worlds.service(ports=((1, "SCTP"), ("x", "TCP"), (8080, "TCP")))], SITE)
    assert [w.port for w in found] == [8080]
    assert [r.reason for r in rows] == ["protocol-unsupported", "named-port-unresolved"]


def test_a_pod_on_the_host_network_that_declares_no_port_is_skipped() -> None:
    assert reasons(worlds.pod(host_network=True), worlds.service()) == ["host-network"]


def test_a_pod_with_a_hostile_name_is_skipped_with_its_name_escaped() -> None:
    (row,) = skipped(worlds.pod('web" -j ACCEPT\n'), worlds.service())
    assert (row.reason, row.pod) == ("name-invalid", 'shop/web" -j ACCEPT\\x0a')


@pytest.mark.parametrize(
    "ip",
    [
        "10.244.03.17",
        "10.244.3.17 ",
        "127.0.0.1",
        "169.254.0.9",
        "224.0.0.9",
        "0.0.0.0",
        "255.255.255.255",
        "10.0.0.1",
        "10.10.10.10",
        "rubbish",
        "",
        "10.1.1.1 -j ACCEPT",
    ],
)
def test_an_ipv4_address_that_cannot_be_the_pods_is_skipped(ip: str) -> None:
    assert reasons(worlds.pod(ips=[ip]), worlds.service()) == ["pod-ip-invalid"]


@pytest.mark.parametrize(
    "ip", ["::1", "::", "fe80::1", "ff02::1", "FD00:244::1", "fd00::1%eth0", "::ffff:10.244.3.17", "fd00::1"]
)
def test_an_ipv6_address_that_cannot_be_the_pods_is_skipped(ip: str) -> None:
    assert reasons(worlds.pod(ips=[ip]), worlds.service(families=["IPv6"])) == ["pod-ip-invalid"]


def test_the_first_valid_address_of_a_family_is_the_pods() -> None:
    (request,) = asked(worlds.pod(ips=["fd00:244::17", "127.0.0.1", "10.244.3.17", "10.244.3.18"]), worlds.service())
    assert request.pod_ip == "10.244.3.17"


def test_a_pod_without_an_address_of_the_family_is_skipped_for_that_family_alone() -> None:
    found, rows = both(worlds.pod(), [worlds.service(families=worlds.BOTH)], SITE)
    assert [w.family for w in found] == ["IPv4"]
    assert [(r.reason, "IPv6" in r.message) for r in rows] == [("pod-ip-missing", True)]


def test_a_node_without_an_address_of_the_family_is_named_for_that_family_alone() -> None:
    pod = worlds.pod(ips=["10.244.3.17", "fd00:244::17"])
    site = Site({"IPv6": "fd00:10::10"}, frozenset(), frozenset())
    found, rows = both(pod, [worlds.service(families=worlds.BOTH)], site)
    assert [w.family for w in found] == ["IPv6"]
    assert [(r.reason, "IPv4" in r.message) for r in rows] == [("node-ip-missing", True)]


def test_a_family_that_does_not_exist_asks_for_nothing() -> None:
    assert both(worlds.pod(), [worlds.service(families=["IPv5"])], SITE) == ([], [])


def test_the_first_bad_address_of_a_family_is_reported() -> None:
    (row,) = skipped(worlds.pod(ips=["fd00::1", "127.0.0.1", "10.0.0.1"]), worlds.service())
    assert "127.0.0.1 is loopback" in row.message


def test_any_address_is_reported_in_short_printable_ascii() -> None:
    (row,) = skipped(worlds.pod(ips=["\u00e9" * 500]), worlds.service())
    assert row.message.isascii()
    assert len(row.message) < 400


def test_an_address_of_two_running_pods_is_served_to_neither() -> None:
    pods = [worlds.pod("a"), worlds.pod("b"), worlds.pod("c", ["10.244.3.18"])]
    site = Site(worlds.NODE_IPS, frozenset(), shared_addresses(pods))
    assert [reasons(p, worlds.service(), site=site) for p in pods[:2]] == [["pod-ip-shared"], ["pod-ip-shared"]]
    assert len(asked(pods[2], worlds.service(), site=site)) == 1


def test_one_ipv6_address_in_two_notations_is_shared() -> None:
    assert shared_addresses([worlds.pod("a", ["fd00::9"]), worlds.pod("b", ["FD00:0::9"])]) == {"fd00::9"}


def test_pods_on_the_host_network_share_the_nodes_address_without_conflict() -> None:
    pods = [worlds.pod("a", ["10.0.0.1"], host_network=True), worlds.pod("b", ["10.0.0.1"], host_network=True)]
    assert shared_addresses(pods) == frozenset()


def test_a_pod_that_lists_its_address_twice_does_not_share_it() -> None:
    assert shared_addresses([worlds.pod(ips=["10.244.3.17", "10.244.3.17"])]) == frozenset()


@pytest.mark.parametrize(("phase", "runs"), [("Running", True), ("Pending", True), ("", True), ("Failed", False)])
def test_terminated_pods_are_not_running(phase: str, *, runs: bool) -> None:
    assert bool(running([worlds.pod(phase=phase)], worlds.NODE)) is runs


def test_pods_of_other_nodes_are_not_running_here() -> None:
    assert running([worlds.pod(on="worker-2"), worlds.pod("unscheduled", on="")], worlds.NODE) == []


def test_of_two_pods_with_one_name_one_is_chosen_whatever_the_order() -> None:
    pods = [worlds.pod(uid="1"), worlds.pod(uid="2"), worlds.pod(uid="3", phase="Succeeded")]
    assert [p.ref.uid for p in running(pods, worlds.NODE)] == ["2"]
    assert running(pods, worlds.NODE) == running(pods[::-1], worlds.NODE)


@pytest.mark.parametrize(
    ("host_ip", "family", "number"),
    [
        ("", "IPv4", 4001),
        ("", "IPv6", 4001),
        ("0.0.0.0", "IPv4", 4001),
        ("0.0.0.0", "IPv6", 0),
        ("::", "IPv4", 4001),
        ("::", "IPv6", 4001),
        ("10.10.10.10", "IPv4", 4001),
        ("10.10.10.10", "IPv6", 0),
        ("10.0.0.1", "IPv4", 0),
        ("127.0.0.1", "IPv4", 0),
        ("fd00:10::10", "IPv6", 4001),
        ("FD00:10:0::10", "IPv6", 4001),
        ("fd00::1", "IPv6", 0),
        ("rubbish", "IPv4", 0),
    ],
)
def test_a_host_port_is_used_where_it_is_reached_at_the_advertised_address(
    host_ip: str, family: str, number: int
) -> None:
    port = ContainerPort(8080, host_port=4001, host_ip=host_ip)
    pod = worlds.pod(ips=["10.244.3.17", "fd00:244::17"], ports=[port])
    (request,) = asked(pod, worlds.service(families=[family]))
    assert request.host_port == number


def test_a_host_port_of_another_protocol_or_port_is_not_used() -> None:
    ports = [ContainerPort(8080, protocol="UDP", host_port=4001), ContainerPort(9090, host_port=4002)]
    found = asked(worlds.pod(ports=ports), worlds.service(ports=((8080, "TCP"), (8080, "UDP"))))
    assert {w.protocol: w.host_port for w in found} == {"tcp": 0, "udp": 4001}


def test_a_port_that_is_declared_with_a_host_port_and_without_has_it() -> None:
    ports = [ContainerPort(8080), ContainerPort(8080, host_port=4001)]
    assert asked(worlds.pod(ports=ports), worlds.service())[0].host_port == 4001


def test_of_several_host_ports_of_one_port_the_lowest_is_used() -> None:
    ports = [ContainerPort(8080, host_port=4002), ContainerPort(8080, host_port=4001)]
    assert asked(worlds.pod(ports=ports), worlds.service())[0].host_port == 4001


def test_sctp_is_mapped_where_it_is_switched_on_and_other_protocols_are_not() -> None:
    pod = worlds.pod(ports=[ContainerPort(9090, "job", "SCTP")])
    service = worlds.service(ports=(("job", "SCTP"), (90, "SCTP"), (91, "DCCP")))
    found = requests(pod, Shape([Offer(service, PROTOCOLS)], pod.ports), SITE)
    assert {(one.port, one.protocol) for one in found.requests} == {(9090, "sctp"), (90, "sctp")}
    assert [(row.pod_port, row.reason) for row in found.skipped] == [(91, "protocol-unsupported")]
