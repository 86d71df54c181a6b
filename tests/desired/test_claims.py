"""Node ports that other programs and Services use."""

import pytest
import worlds

from nplconf.desired.claims import host_ports, numbers, of_services
from nplconf.model import ContainerPort, Service

NODE = ("10.10.10.10", "fd00:10::10")


def taken(*services: Service) -> dict[int, str]:
    return numbers(of_services(services), (), NODE)


def test_every_number_that_kube_proxy_serves_at_an_address_of_the_node_is_taken() -> None:
    services = [
        worlds.service("np", type="NodePort", node_port=61005, enabled=False),
        worlds.service("lb", type="LoadBalancer", health_check_node_port=61007),
        worlds.service("ext", port=61008, external_ips=["10.10.10.10"]),
        worlds.service("ing", port=61009, ingress_ips=["fd00:10::10"]),
    ]
    assert taken(*services) == {
        61005: "a nodePort of Service shop/np",
        61007: "the healthCheckNodePort of Service shop/lb",
        61008: "a port at the external IP 10.10.10.10 of Service shop/ext",
        61009: "a port at the load balancer IP fd00:10::10 of Service shop/ing",
    }


@pytest.mark.parametrize("spelling", ["010.010.10.10", "::ffff:10.10.10.10", "::ffff:a0a:a0a", "::FFFF:010.10.10.10"])
def test_an_address_is_recognised_in_every_spelling_that_kubernetes_accepts(spelling: str) -> None:
    assert set(taken(worlds.service(port=61000, external_ips=[spelling]))) == {61000}


@pytest.mark.parametrize("address", ["10.10.10.11", "192.0.2.1", "", "fd00:10::11", "10.10.10", "x", "10.10.10.10/32"])
def test_a_port_at_a_foreign_address_is_free(address: str) -> None:
    assert taken(worlds.service(port=61000, external_ips=[address], ingress_ips=[address])) == {}


def test_a_service_without_numbers_of_its_own_takes_none() -> None:
    assert taken(worlds.service(port=61000)) == {}


def test_a_name_of_a_service_is_printable_in_messages() -> None:
    hostile = worlds.service("a\x1b[2J", node_port=61000, health_check_node_port=61001)
    assert all(words.isprintable() for words in taken(hostile).values())


# --- hostPorts -------------------------------------------------------------------------------------------------------


def test_host_ports_of_every_protocol_are_taken_on_the_node() -> None:
    ports = [ContainerPort(1, host_port=4001), ContainerPort(2, protocol="SCTP", host_port=4002), ContainerPort(3)]
    assert host_ports([worlds.pod(ports=ports)], NODE) == dict.fromkeys((4001, 4002), "a hostPort of Pod shop/web-0")


def test_a_name_of_a_pod_is_printable_in_messages_about_its_host_port() -> None:
    hostile = worlds.pod("a\x1b[2J", ports=[ContainerPort(1, host_port=4001)])
    assert host_ports([hostile], NODE)[4001].isprintable()


@pytest.mark.parametrize("host_ip", ["", "0.0.0.0", "::", "0:0::0", "10.10.10.10", "fd00:10:0::10"])
def test_a_host_port_at_an_address_of_the_node_is_taken(host_ip: str) -> None:
    assert set(host_ports([worlds.pod(ports=[ContainerPort(1, host_port=4001, host_ip=host_ip)])], NODE)) == {4001}


@pytest.mark.parametrize("host_ip", ["127.0.0.1", "::1", "192.0.2.1", "(malformed)"])
def test_a_host_port_at_another_address_takes_no_number(host_ip: str) -> None:
    assert host_ports([worlds.pod(ports=[ContainerPort(1, host_port=4001, host_ip=host_ip)])], NODE) == {}


def test_a_pod_without_an_address_takes_no_number() -> None:
    ports = [ContainerPort(number, host_port=number) for number in range(61000, 62001)]
    assert host_ports([worlds.pod(ips=(), phase="Pending", ports=ports)], NODE) == {}
