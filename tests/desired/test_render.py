"""From cluster state to a plan."""

from collections import defaultdict
from random import Random
from typing import Any

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st

from nplconf.desired import Desired, each_node, render
from nplconf.desired.ports import Previous
from nplconf.model import ClusterState, ContainerPort, Plan, PortRange

SETTINGS = Desired(worlds.RANGE)


def rendered(*objects: object, past: Previous | None = None, settings: Desired = SETTINGS) -> Plan:
    state = worlds.cluster(worlds.node(), *objects)  # type: ignore[arg-type]
    return render(state, worlds.node(), settings, past or Previous())


def rows(plan: Plan) -> list[tuple[int, str, str, str]]:
    return [(m.pod_port, m.protocol, m.family, m.via) for m in plan.mappings]


def test_a_plan_names_its_node_cluster_addresses_and_range() -> None:
    plan = rendered(worlds.pod(), worlds.service())
    assert (plan.node, plan.cluster, plan.node_ips, plan.port_range) == (
        "worker-1",
        "uid-kubernetes",
        {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"},
        worlds.RANGE,
    )


def test_a_selected_pod_is_mapped() -> None:
    (mapping,) = rendered(worlds.pod(), worlds.service()).mappings
    number = mapping.node_port
    assert mapping == worlds.mapping(number)
    assert number in worlds.RANGE


def test_all_protocols_and_families_of_a_pod_port_share_one_number() -> None:
    pod = worlds.pod(ips=["10.244.3.17", "fd00:244::17"])
    service = worlds.service(ports=((8080, "TCP"), (8080, "UDP"), (9090, "TCP")), families=worlds.BOTH)
    plan = rendered(pod, service)
    numbers = {port: {m.node_port for m in plan.mappings if m.pod_port == port} for port in (8080, 9090)}
    assert [len(n) for n in numbers.values()] == [1, 1]
    assert numbers[8080] != numbers[9090]
    assert len(plan.mappings) == 6


def test_mappings_are_sorted_by_number_family_protocol() -> None:
    pod = worlds.pod(ips=["10.244.3.17", "fd00:244::17"])
    service = worlds.service(ports=((1, "UDP"), (1, "TCP"), (2, "TCP"), (3, "TCP")), families=worlds.BOTH)
    keys = [(m.node_port, m.family, m.protocol) for m in rendered(pod, service).mappings]
    assert keys == sorted(keys)
    assert len(keys) == 8


def test_a_pod_port_keeps_its_number_while_its_address_changes() -> None:
    before = rendered(worlds.pod(), worlds.service())
    after = rendered(worlds.pod(ips=["10.244.3.99"], uid="new"), worlds.service(), past=worlds.past(before))
    assert [m.node_port for m in after.mappings] == [m.node_port for m in before.mappings]
    assert after.mappings[0].pod_ip == "10.244.3.99"


def test_a_host_port_is_advertised_under_its_own_number() -> None:
    pod = worlds.pod(ports=[ContainerPort(8080, host_port=4001)])
    (mapping,) = rendered(pod, worlds.service()).mappings
    assert mapping == worlds.mapping(4001, via="hostPort")


def test_a_host_port_uses_up_no_number_of_the_range() -> None:
    own = worlds.pod("a", ["10.244.3.18"], ports=[ContainerPort(8080, host_port=4001)])
    plan = rendered(own, worlds.pod("b"), worlds.service(), settings=Desired(PortRange(61000, 61000)))
    assert [(m.pod.name, m.node_port) for m in plan.mappings] == [("a", 4001), ("b", 61000)]
    assert plan.skipped == ()


def test_a_host_port_of_one_protocol_leaves_the_other_a_number_of_its_own() -> None:
    pod = worlds.pod(ports=[ContainerPort(8080, host_port=4001)])
    plan = rendered(pod, worlds.service(ports=((8080, "TCP"), (8080, "UDP"))))
    assert rows(plan) == [(8080, "tcp", "IPv4", "hostPort"), (8080, "udp", "IPv4", "dnat")]


def test_numbers_of_host_ports_and_node_ports_are_not_given_away() -> None:
    number = rendered(worlds.pod(), worlds.service()).mappings[0].node_port
    neighbour = worlds.pod("other", ["10.244.3.18"], labels={}, ports=[ContainerPort(1, host_port=number)])
    owner = worlds.service("owner", type="NodePort", enabled=False, node_port=number)
    health = worlds.service("health", enabled=False, health_check_node_port=number)
    assert rendered(worlds.pod(), worlds.service(), neighbour).mappings[0].node_port == number + 1
    assert rendered(worlds.pod(), worlds.service(), owner).mappings[0].node_port == number + 1
    assert rendered(worlds.pod(), worlds.service(), health).mappings[0].node_port == number + 1


@pytest.mark.parametrize("claim", ["external_ips", "ingress_ips"])
@pytest.mark.parametrize("address", ["10.10.10.10", "10.0.0.1", "fd00:10::10"])
def test_a_mapping_moves_when_a_service_is_served_at_its_number_and_an_address_of_the_node(
    claim: str, address: str
) -> None:
    before = rendered(worlds.pod(), worlds.service())
    number = before.mappings[0].node_port
    claimed: Any = {claim: [address]}
    other = worlds.service("other", namespace="attacker", enabled=False, port=number, **claimed)
    after = rendered(worlds.pod(), worlds.service(), other, past=worlds.past(before))
    assert [m.node_port for m in after.mappings] == [number + 1]


def test_a_pod_that_cannot_start_takes_no_number_from_others() -> None:
    before = rendered(worlds.pod(), worlds.service())
    ports = [ContainerPort(n, host_port=n, host_ip="127.0.0.1") for n in range(61000, 62001)]
    greedy = worlds.pod("greedy", (), namespace="attacker", phase="Pending", ports=ports)
    assert rendered(worlds.pod(), worlds.service(), greedy, past=worlds.past(before)).mappings == before.mappings


def test_host_ports_of_terminated_pods_and_other_nodes_are_free() -> None:
    number = rendered(worlds.pod(), worlds.service()).mappings[0].node_port
    ports = [ContainerPort(1, host_port=number)]
    done = worlds.pod("done", ["10.244.3.18"], phase="Succeeded", ports=ports)
    elsewhere = worlds.pod("elsewhere", ["10.244.4.18"], on="worker-2", ports=ports)
    assert rendered(worlds.pod(), worlds.service(), done, elsewhere).mappings[0].node_port == number


def test_a_terminated_pod_is_not_mentioned_and_its_address_is_anothers() -> None:
    plan = rendered(worlds.pod("old", phase="Succeeded"), worlds.pod("new"), worlds.service())
    assert [m.pod.name for m in plan.mappings] == ["new"]
    assert plan.skipped == ()


def test_a_full_range_serves_the_others_and_names_each_port_that_goes_without() -> None:
    settings = Desired(PortRange(61000, 61001))
    pods = [worlds.pod(f"web-{i}", [f"10.244.3.{i + 1}"]) for i in range(4)]
    plan = rendered(*pods, worlds.service(ports=((8080, "TCP"), (8080, "UDP"))), settings=settings)
    assert sorted({m.pod.name for m in plan.mappings}) == ["web-0", "web-1"]
    assert [(r.pod, r.protocol, r.reason, r.more) for r in plan.skipped] == [
        ("shop/web-2", "tcp", "range-full", 1),
        ("shop/web-3", "tcp", "range-full", 1),
    ]


def test_skipped_rows_are_each_there_once() -> None:
    plan = rendered(worlds.pod(ips=[]), worlds.service(ports=((8080, "TCP"), (8080, "TCP"))))
    assert [r.reason for r in plan.skipped] == ["pod-ip-missing"]


def test_what_is_not_available_is_reported_of_every_pod_and_every_service() -> None:
    pods = [worlds.pod("web-0", ()), worlds.pod("web-1", ("127.0.0.1",)), worlds.pod("web-2", ("10.244.3.18",))]
    plan = rendered(*pods, worlds.service(), worlds.service("np", type="NodePort"))
    assert [(row.pod, row.reason) for row in plan.skipped] == [
        (None, "service-type"),
        ("shop/web-0", "pod-ip-missing"),
        ("shop/web-1", "pod-ip-invalid"),
    ]


def test_a_node_without_a_pod_has_an_empty_plan() -> None:
    (one,) = each_node(worlds.cluster(worlds.node()), SETTINGS)
    assert one.render(Previous()).mappings == ()


def test_the_administrators_address_is_advertised() -> None:
    settings = Desired(worlds.RANGE, {"IPv4": "192.0.2.7"})
    plan = rendered(worlds.pod(), worlds.service(), settings=settings)
    assert plan.mappings[0].node_ip == plan.node_ips["IPv4"] == "192.0.2.7"


def test_the_plans_of_all_nodes_are_those_of_each_node() -> None:
    nodes = [worlds.node(name, [("InternalIP", f"10.0.0.{i}")]) for i, name in enumerate("cab", 1)]
    pods = [worlds.pod(f"web-{i}", [f"10.244.3.{i + 1}"], on="abc"[i % 3]) for i in range(7)]
    state = worlds.cluster(*nodes, *pods, worlds.service(), worlds.service("np", type="NodePort"))
    plans = [one.render(Previous()) for one in each_node(state, SETTINGS)]
    assert [p.node for p in plans] == ["a", "b", "c"]
    assert plans == [render(state, n, SETTINGS, Previous()) for n in sorted(nodes, key=lambda n: n.name)]
    assert sum(len(p.mappings) for p in plans) == 7


# --- any cluster -----------------------------------------------------------------------------------------------------

HOSTILE = st.sampled_from(["web", "web-0", "a\nb", "", "x" * 300, "\ud800", "-j ACCEPT", "\u202e"])
TARGETS = st.integers(1, 65535) | st.sampled_from(["http", "", "a\x00b"])
IPS = st.sampled_from(["10.244.3.17", "10.244.3.18", "fd00:244::17", "10.0.0.1", "::1", "bad", "fe80::1%eth0", ""])
CONTAINER_PORTS = st.builds(
    ContainerPort,
    st.integers(1, 65535),
    st.sampled_from(["http", "", "x"]),
    st.sampled_from(["TCP", "UDP", "SCTP", "(malformed)"]),
    st.sampled_from([0, 4001, 61004]),
    st.sampled_from(["", "0.0.0.0", "::", "127.0.0.1", "bad"]),
)
PODS = st.builds(
    worlds.pod,
    HOSTILE,
    st.lists(IPS, max_size=3),
    namespace=st.sampled_from(["shop", "team-a", "Bad"]),
    uid=HOSTILE,
    on=st.sampled_from([worlds.NODE, "worker-2", ""]),
    phase=st.sampled_from(["Running", "Pending", "Succeeded", "Failed", "?"]),
    host_network=st.booleans(),
    ports=st.lists(CONTAINER_PORTS, max_size=3),
    annotation=st.sampled_from([None, "[]", '[{"podPort":80,"nodePort":61004}]', "[[[", '"x"']),
)
SERVICES = st.builds(
    worlds.service,
    HOSTILE,
    st.lists(st.tuples(TARGETS, st.sampled_from(["TCP", "UDP", "SCTP", "\n"])), max_size=3),
    namespace=st.sampled_from(["shop", "team-a", "Bad"]),
    type=st.sampled_from(["ClusterIP", "LoadBalancer", "NodePort", "x\x1b"]),
    families=st.sampled_from([("IPv4",), ("IPv6",), ("IPv4", "IPv6"), ("IPv6", "IPv4"), (), ("IPv5",)]),
    enabled=st.booleans(),
    node_port=st.sampled_from([0, 61004]),
)
STATES = st.builds(
    lambda pods, services: worlds.cluster(worlds.node(), *pods, *services),
    st.lists(PODS, max_size=8, unique_by=lambda p: p.ref),
    st.lists(SERVICES, max_size=5),
)
NARROW = Desired(PortRange(61000, 61007))


@given(STATES, st.randoms())
def test_the_same_state_in_any_order_gives_the_same_plan(state: ClusterState, random: Random) -> None:
    shuffled = ClusterState(
        nodes=state.nodes,
        pods=tuple(random.sample(state.pods, len(state.pods))),
        services=tuple(random.sample(state.services, len(state.services))),
        identity=state.identity,
    )
    first = render(state, worlds.node(), NARROW, Previous())
    assert repr(render(shuffled, worlds.node(), NARROW, Previous())) == repr(first)


@given(STATES)
def test_a_number_is_of_one_pod_port_and_a_pod_port_has_one_number(state: ClusterState) -> None:
    plan = render(state, worlds.node(), NARROW, Previous())
    owners, numbers = defaultdict(set), defaultdict(set)
    for m in (m for m in plan.mappings if m.via == "dnat"):
        owners[m.node_port].add((m.pod, m.pod_port))
        numbers[m.owner].add(m.node_port)
    assert all(len(o) == 1 for o in owners.values())
    assert all(len(n) == 1 for n in numbers.values())
    keys = [m.key for m in plan.mappings if m.via == "dnat"]
    assert len(set(keys)) == len(keys)


@given(STATES)
def test_a_plan_is_its_own_successor(state: ClusterState) -> None:
    plan = render(state, worlds.node(), NARROW, Previous())
    assert render(state, worlds.node(), NARROW, worlds.past(plan)) == plan


@given(STATES)
def test_no_text_of_a_user_reaches_a_plan_unescaped(state: ClusterState) -> None:
    plan = render(state, worlds.node(), NARROW, Previous())
    texts = [str(part) for r in plan.skipped for part in (r.pod, r.pod_port, r.protocol, r.service, r.message)]
    texts += [part for m in plan.mappings for part in (m.pod.namespace, m.pod.name, m.pod.uid, m.pod_ip, *m.services)]
    assert all(text.isascii() and (text.isprintable() or not text) for text in texts)


@given(STATES)
def test_every_port_that_is_asked_for_is_mapped_or_skipped(state: ClusterState) -> None:
    plan = render(state, worlds.node(), NARROW, Previous())
    seen = {s for m in plan.mappings for s in m.services} | {r.service for r in plan.skipped}
    here = {p.ref.namespace for p in state.pods if p.node == worlds.NODE and not p.terminated}
    for s in state.services:
        valid = s.name in ("web", "web-0") and s.namespace in here and s.type in ("ClusterIP", "LoadBalancer")
        if s.enabled and s.ports and valid and set(s.families) & {"IPv4", "IPv6"}:
            assert s.key in seen


# --- the host network -------------------------------------------------------------------------------------------------


def test_declared_ports_of_a_pod_on_the_host_network_are_advertised_at_the_nodes_address() -> None:
    ports = (ContainerPort(9100, "metrics", host_port=9100), ContainerPort(53, "dns", "UDP", host_port=53))
    here = worlds.pod(ips=("10.0.0.1", "fd00::1"), host_network=True, ports=ports)
    asked: list[tuple[int | str, str]] = [(9100, "TCP"), ("dns", "UDP"), (53, "TCP"), (8080, "TCP")]
    plan = rendered(here, worlds.service(ports=asked, families=worlds.BOTH))
    assert [(m.node_port, m.protocol, m.family, m.via, m.node_ip) for m in plan.mappings] == [
        (53, "udp", "IPv4", "hostPort", "10.10.10.10"),
        (53, "udp", "IPv6", "hostPort", "fd00:10::10"),
        (9100, "tcp", "IPv4", "hostPort", "10.10.10.10"),
        (9100, "tcp", "IPv6", "hostPort", "fd00:10::10"),
    ]
    assert {row.reason for row in plan.skipped} == {"host-network"}
    assert {row.pod_port for row in plan.skipped} <= {53, 8080}


def test_thousands_of_undeclared_ports_of_a_pod_on_the_host_network_are_one_row() -> None:
    here = worlds.pod(ips=("10.0.0.1",), host_network=True, ports=(ContainerPort(3000, host_port=3000),))
    plan = rendered(here, worlds.service(ports=[(port, "TCP") for port in range(1000, 4000)]))
    assert [(m.node_port, m.via) for m in plan.mappings] == [(3000, "hostPort")]
    assert [(row.reason, row.more) for row in plan.skipped] == [("host-network", 2998)]
