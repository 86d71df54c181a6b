"""Reachability through mappings, and the client address that the Pod sees, on a routed and a bridge CNI."""

import functools
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import worlds
from echo import Answer, timed
from netns import BACKENDS, BRIDGE, CLIENT, World, add_address, batch, inside, sysctl, world

from nplconf.model import Family, Protocol
from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
NODE_IP: dict[Family, str] = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
OTHER_NODE_IP: dict[Family, str] = {"IPv4": "10.0.0.1", "IPv6": "fd00::1"}
VIP: dict[Family, str] = {"IPv4": "10.96.0.10", "IPv6": "fd00:96::10"}
IPS: dict[str, dict[Family, str]] = {
    "web-1": {"IPv4": "10.244.3.1", "IPv6": "fd00:244::1"},
    "web-2": {"IPv4": "10.244.3.2", "IPv6": "fd00:244::2"},
    "api-1": {"IPv4": "10.244.4.11", "IPv6": "fd00:244:4::11"},
    "api-2": {"IPv4": "10.244.4.12", "IPv6": "fd00:244:4::12"},
}
PORT: dict[Protocol, int] = {"tcp": 8080, "udp": 53}
POD_NETWORK: dict[Family, str] = {"IPv4": "10.244.0.0/16", "IPv6": "fd00:244::/32"}
FAMILIES = pytest.mark.parametrize("family", ["IPv4", "IPv6"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["tcp", "udp"])
PODS = pytest.mark.parametrize("pod", ["web-1", "api-1"])


class Town(World):
    """A node with two routed Pods (web) and two on its bridge (api), all of whose ports are mapped."""

    def build(self, *, bridge_nf: bool) -> None:
        pods = []
        for name, ips in IPS.items():
            make = self.routed if name.startswith("web") else self.bridged
            pods.append(make(name, *ips.values(), tcp=(8080,), udp=(53,)))
        for family in ("ip", "ip6"):
            sysctl(self.node, f"net.bridge.bridge-nf-call-{family}tables", int(bridge_nf))
        service = worlds.raw_service("all", [(80, 8080, "TCP"), (53, 53, "UDP")])
        service["spec"] |= {"selector": {"all": "yes"}, "ipFamilies": ["IPv4", "IPv6"]}
        self.write(*pods, service)

    def number(self, pod: str, protocol: Protocol) -> int:
        """Return the published node port of a Pod's port of this protocol."""
        published = annotation.parse(worlds.annotations(self.cluster)[pod])
        return next(entry.node_port for entry in published if entry.protocol == protocol)

    def request(self, place: str, pod: str, protocol: Protocol, family: Family, **how: Any) -> Answer | str:
        """Ask for a Pod by its number at the node's advertised address."""
        return self.ask(place, NODE_IP[family], self.number(pod, protocol), protocol=protocol, **how)


def town(directory: Any, backend: str, *, bridge_nf: bool) -> Iterator[Town]:
    with world(directory, backend, Town) as made:
        made.build(bridge_nf=bridge_nf)
        made.start_hold()
        assert made.apply().counts == (0, 16, 0)
        yield made


@pytest.fixture(scope="module", params=BACKENDS)
def calm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Bridged packets pass conntrack by; nobody changes anything."""
    yield from town(tmp_path_factory.mktemp("calm"), request.param, bridge_nf=False)


@pytest.fixture(scope="module", params=BACKENDS)
def filtered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Bridged packets pass iptables; nobody changes anything."""
    yield from town(tmp_path_factory.mktemp("filtered"), request.param, bridge_nf=True)


@pytest.fixture
def own(tmp_path: Any, backend: str) -> Iterator[Town]:
    """A town of one test's own."""
    yield from town(tmp_path, backend, bridge_nf=False)


# --- who gets through ------------------------------------------------------------------------------------------------


@FAMILIES
@PROTOCOLS
@pytest.mark.parametrize("pod", IPS)
def test_an_outside_client_is_answered_and_seen_with_its_own_address(
    calm: Town, pod: str, protocol: Protocol, family: Family
) -> None:
    assert calm.request("client", pod, protocol, family) == Answer(pod, PORT[protocol], CLIENT[family])


@FAMILIES
def test_every_address_of_the_node_leads_to_the_pod(calm: Town, family: Family) -> None:
    answer = calm.ask("client", OTHER_NODE_IP[family], calm.number("web-1", "tcp"))
    assert answer == Answer("web-1", 8080, CLIENT[family])


@FAMILIES
@PROTOCOLS
@PODS
def test_the_node_reaches_its_own_mappings_by_its_own_address(
    calm: Town, pod: str, protocol: Protocol, family: Family
) -> None:
    answer = calm.request("node", pod, protocol, family)
    assert isinstance(answer, Answer), answer
    assert (answer.pod, answer.port) == (pod, PORT[protocol])


@FAMILIES
@PROTOCOLS
@PODS
def test_a_pod_reaches_itself_through_its_own_mapping(calm: Town, pod: str, protocol: Protocol, family: Family) -> None:
    answer = calm.request(pod, pod, protocol, family)
    assert isinstance(answer, Answer), answer
    assert answer.pod == pod


@FAMILIES
@PROTOCOLS
@PODS
def test_a_pod_reaches_itself_where_bridged_packets_are_filtered(
    filtered: Town, pod: str, protocol: Protocol, family: Family
) -> None:
    answer = filtered.request(pod, pod, protocol, family)
    assert isinstance(answer, Answer), answer
    assert answer.pod == pod


@FAMILIES
@PROTOCOLS
def test_a_routed_pod_on_the_node_is_answered_and_seen_with_its_own_address(
    calm: Town, protocol: Protocol, family: Family
) -> None:
    answer = Answer("web-2", PORT[protocol], IPS["web-1"][family])
    assert calm.request("web-1", "web-2", protocol, family) == answer


@FAMILIES
@PROTOCOLS
def test_a_pod_on_the_same_bridge_that_passes_conntrack_by_is_answered(
    calm: Town, protocol: Protocol, family: Family
) -> None:
    answer = calm.request("api-1", "api-2", protocol, family)
    assert isinstance(answer, Answer), answer
    assert answer.pod == "api-2"


@FAMILIES
def test_pods_on_the_same_bridge_are_answered_where_the_node_has_a_route_for_each(own: Town, family: Family) -> None:
    network, bits = ("10.244.4", 32) if family == "IPv4" else ("fd00:244:4:", 128)
    dot = "." if family == "IPv4" else ":"
    batch(
        f"-n {own.node}",
        f"address delete {network}{dot}1/{24 if bits == 32 else 64} dev {BRIDGE}",
        f"address add {network}{dot}1/{bits} dev {BRIDGE}",
        *(f"route add {IPS[pod][family]}/{bits} dev {BRIDGE}" for pod in ("api-1", "api-2")),
    )
    assert own.apply().code == 0
    for protocol, port in PORT.items():
        for source, pod in itertools.product(("api-1", "api-2"), repeat=2):
            answer = own.request(source, pod, protocol, family)
            assert isinstance(answer, Answer), (source, pod, protocol, answer)
            assert answer.pod == pod
        assert own.request("client", "api-1", protocol, family) == Answer("api-1", port, CLIENT[family])
    assert own.apply().counts == (16, 0, 0)


@FAMILIES
@PROTOCOLS
def test_a_pod_on_the_same_bridge_whose_packets_are_filtered_is_seen_with_its_own_address(
    filtered: Town, protocol: Protocol, family: Family
) -> None:
    answer = Answer("api-2", PORT[protocol], IPS["api-1"][family])
    assert filtered.request("api-1", "api-2", protocol, family) == answer


@FAMILIES
@PROTOCOLS
def test_pods_of_the_two_kinds_see_each_others_own_address(calm: Town, protocol: Protocol, family: Family) -> None:
    to_bridge, to_routed = (calm.request(*pair, protocol, family) for pair in (("web-1", "api-1"), ("api-1", "web-1")))
    assert to_bridge == Answer("api-1", PORT[protocol], IPS["web-1"][family])
    assert to_routed == Answer("web-1", PORT[protocol], IPS["api-1"][family])


Place = Literal["before", "after"]
MULTICAST: dict[Family, str] = {"IPv4": "224.0.0.0/4", "IPv6": "ff00::/8"}


@pytest.mark.parametrize("came", ["before", "after"])
def test_hairpin_works_behind_the_rules_of_a_cni(own: Town, came: Place) -> None:
    if came == "before":
        assert own.nplconf("cleanup").returncode == 0
    for family in worlds.BOTH:
        own.restore(cni(family, came), family)
    assert own.apply().code == 0

    for protocol, family in itertools.product(PORT, worlds.BOTH):
        for pod in ("web-1", "api-1"):
            answer = own.request(pod, pod, protocol, family)
            assert isinstance(answer, Answer), answer
            assert answer.pod == pod
        assert own.request("client", "web-1", protocol, family) == Answer("web-1", PORT[protocol], CLIENT[family])
    assert own.apply().counts == (16, 0, 0)


@pytest.mark.parametrize("backend", ["nftables"], indirect=True)
def test_the_masquerade_of_another_program_does_not_hide_the_client_on_nftables(own: Town) -> None:
    """As weave's, or that of a firewalld zone: every packet to a Pod that comes from outside."""
    for family in worlds.BOTH:
        own.restore(f"*nat\n-I POSTROUTING -d {POD_NETWORK[family]} -j MASQUERADE\nCOMMIT\n", family)
        own.nft(
            f"add table {'ip' if family == 'IPv4' else 'ip6'} zone",
            f"add chain {'ip' if family == 'IPv4' else 'ip6'} zone post {{ type nat hook postrouting priority 110; }}",
            f"add rule {'ip' if family == 'IPv4' else 'ip6'} zone post masquerade",
        )
    for protocol, family in itertools.product(PORT, worlds.BOTH):
        for pod in ("web-1", "api-1"):
            answer = Answer(pod, PORT[protocol], CLIENT[family])
            assert own.request("client", pod, protocol, family) == answer
            hairpin = own.request(pod, pod, protocol, family)
            assert isinstance(hairpin, Answer), hairpin
            assert hairpin.pod == pod
        direct = own.ask("client", IPS["web-1"][family], PORT[protocol], protocol=protocol)
        assert isinstance(direct, Answer)
        assert direct.client != CLIENT[family], "what is no flow of a mapping is theirs to masquerade"


def cni(family: Family, came: Place) -> str:
    """The masquerade of a CNI, which puts its rules first, and does so again when it is restarted."""
    pods, jump = POD_NETWORK[family], "-I" if came == "after" else "-A"
    rules = [
        f"{jump} POSTROUTING -s {pods} -j CNI-POD",
        f"-A CNI-POD -d {pods} -j ACCEPT",
        f"-A CNI-POD ! -d {MULTICAST[family]} -j MASQUERADE",
    ]
    return "\n".join(["*nat", ":CNI-POD - [0:0]", *rules, "COMMIT", ""])


# --- who must not be touched -----------------------------------------------------------------------------------------


@PROTOCOLS
def test_transit_to_the_number_of_a_mapping_is_untouched(calm: Town, protocol: Protocol) -> None:
    number = calm.number("web-1", protocol)
    there: dict[str, Any] = {protocol: (number,)}
    calm.serve("web-2", **there)
    for family in worlds.BOTH:
        answer = calm.ask("client", IPS["web-2"][family], number, protocol=protocol)
        assert answer == Answer("web-2", number, CLIENT[family])


def test_an_address_of_the_node_object_that_is_another_machines_is_untouched(own: Town) -> None:
    """CVE-2025-67499: an ExternalIP that is routed through the node, not to it, as behind 1:1 NAT."""
    number = own.number("web-1", "tcp")
    own.serve("web-2", tcp=(number,))
    batch(f"-n {own.space('web-2')}", "address add 203.0.113.9/32 dev lo")
    batch(f"-n {own.node}", f"route add 203.0.113.9 via {IPS['web-2']['IPv4']}")
    (listing,) = worlds.read_objects(own.cluster)
    rest = [item for item in listing["items"] if item["kind"] != "Node"]
    own.write(*rest, addresses=[*worlds.ADDRESSES, ("ExternalIP", "203.0.113.9")])

    assert own.apply().code == 0

    assert any("203.0.113.9" in line for line in own.ours())
    assert own.ask("client", "203.0.113.9", number) == Answer("web-2", number, CLIENT["IPv4"])


@FAMILIES
@PROTOCOLS
def test_a_virtual_address_on_the_node_is_untouched(calm: Town, protocol: Protocol, family: Family) -> None:
    """As a load balancer or IPVS has: the address is local, and no address of the Node object."""
    add_address(calm.node, VIP[family])
    number = calm.number("web-1", protocol)
    own_service = "10.244.3.2:8080" if family == "IPv4" else "[fd00:244::2]:8080"
    assert calm.ask("client", VIP[family], number, protocol=protocol) == "refused", "the range is held, there too"
    if protocol == "tcp":
        rule = f"PREROUTING -d {VIP[family]} -p tcp --dport {number} -j DNAT --to-destination {own_service}"
        calm.restore(f"*nat\n-A {rule}\nCOMMIT\n", family)
        answer = calm.ask("client", VIP[family], number)
        calm.restore(f"*nat\n-D {rule}\nCOMMIT\n", family)
        assert answer == Answer("web-2", 8080, CLIENT[family])


def test_a_service_of_kube_proxy_with_the_same_number_comes_first(own: Town) -> None:
    """CVE-2019-9946: a Pod must not take what a Service has, and such a port is not published."""
    number = own.number("web-1", "tcp")
    for family in worlds.BOTH:
        to = "10.244.3.2:8080" if family == "IPv4" else "[fd00:244::2]:8080"
        chains = [":KUBE-SERVICES - [0:0]", *(f"-A {base} -j KUBE-SERVICES" for base in ("PREROUTING", "OUTPUT"))]
        rule = f"-A KUBE-SERVICES -d {NODE_IP[family]} -p tcp --dport {number} -j DNAT --to-destination {to}"
        own.restore("\n".join(["*nat", *chains, rule, "COMMIT", ""]), family)

    assert own.apply().code == 5

    for place, family in itertools.product(("client", "node"), worlds.BOTH):
        answer = own.ask(place, NODE_IP[family], number)
        assert isinstance(answer, Answer)
        assert answer.pod == "web-2"
    assert f'"nodePort":{number},' not in str(worlds.annotations(own.cluster)["web-1"])


@FAMILIES
def test_a_client_bound_to_loopback_is_refused_at_once(calm: Town, family: Family) -> None:
    loopback = "127.0.0.1" if family == "IPv4" else "::1"
    # fd00:10::10 is left out: a kernel without any rules, too, loses its RST to ::1, as the address is another device's
    for address, source in ((OTHER_NODE_IP[family], loopback), (loopback, "")):
        number = calm.number("web-1", "tcp")
        outcome, seconds = timed(functools.partial(calm.ask, "node", address, number, source=source))
        assert (outcome, seconds < 0.5) == ("refused", True), (address, source)


@FAMILIES
def test_a_udp_client_bound_to_loopback_reaches_no_pod(calm: Town, family: Family) -> None:
    """On the node itself a held UDP number is silent, as a server is that lost the packet."""
    loopback = "127.0.0.1" if family == "IPv4" else "::1"
    for address, source in ((NODE_IP[family], loopback), (loopback, "")):
        number = calm.number("web-1", "udp")
        assert calm.ask("node", address, number, protocol="udp", source=source, patience=0.2) in ("refused", "silence")


def test_loopback_routing_stays_off(calm: Town) -> None:
    with inside(calm.node):
        for device in ("all", "client", BRIDGE):
            assert Path(f"/proc/sys/net/ipv4/conf/{device}/route_localnet").read_text() == "0\n"


# --- what is lost ----------------------------------------------------------------------------------------------------


def test_a_lost_rule_means_refused_within_a_second(own: Town) -> None:
    every = tuple(itertools.product(PORT, worlds.BOTH))
    for protocol, family in every:
        assert isinstance(own.request("client", "web-1", protocol, family), Answer)
        number = own.number("web-1", protocol)
        own.lose(number, protocol, family)

    for protocol, family in every:
        outcome, seconds = timed(functools.partial(own.request, "client", "web-1", protocol, family))
        assert (outcome, seconds < 1) == ("refused", True), (protocol, family)
    assert own.nplconf("verify").returncode == 2
    assert own.apply().counts == (12, 4, 0)
    for protocol, family in every:
        assert isinstance(own.request("client", "web-1", protocol, family), Answer)


def test_all_rules_lost_means_refused_and_nothing_hangs(own: Town) -> None:
    own.lose_entry()
    for place, family in itertools.product(("client", "node", "web-1", "web-2"), worlds.BOTH):
        outcome, seconds = timed(functools.partial(own.request, place, "web-1", "tcp", family))
        assert (outcome, seconds < 1) == ("refused", True), place


def test_no_other_program_can_bind_a_mapped_port(calm: Town) -> None:
    number = calm.number("web-1", "tcp")
    with inside(calm.node), pytest.raises(OSError, match="in use"):
        socket.create_server(("0.0.0.0", number))
