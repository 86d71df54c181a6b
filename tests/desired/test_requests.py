"""Requests of Services are expanded only as far as there are ports, and the plan stays the same."""

import time
import tracemalloc

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from nplconf.desired import Desired, render
from nplconf.desired.offers import Offer
from nplconf.desired.pods import Site
from nplconf.desired.ports import Previous
from nplconf.desired.requests import Bound, requests
from nplconf.desired.shapes import Shape
from nplconf.model import ClusterState, ContainerPort, Plan, PodPort, PortRange
from nplconf.plan.policy import Pin, Policy

SITE = Site(worlds.NODE_IPS, frozenset(), frozenset())
MANY = tuple((1000 + i, "TCP") for i in range(50))


def test_ports_are_expanded_as_far_as_there_is_room_and_one_more() -> None:
    found = requests(worlds.pod(), Shape([Offer(worlds.service(ports=MANY))], ()), SITE, bound=Bound(3))
    assert [request.port for request in found.requests] == [1000, 1001, 1002, 1003]
    (rest,) = found.rest
    assert (rest.first, rest.more, rest.like) == ((1004, "tcp"), 45, PodPort("shop/web-0", 1003))


def test_ports_that_had_a_number_or_have_a_host_port_are_always_expanded() -> None:
    pod = worlds.pod(ports=[ContainerPort(1030, host_port=4001)])
    known = Bound(0, lambda: {1040, 9999})
    found = requests(pod, Shape([Offer(worlds.service(ports=MANY))], pod.ports), SITE, bound=known)
    assert sorted(request.port for request in found.requests) == [1000, 1030, 1040]


def test_a_pod_or_address_that_is_not_served_has_one_row_per_service() -> None:
    offers = [Offer(worlds.service(ports=MANY)), Offer(worlds.service("b", MANY, families=worlds.BOTH))]
    for pod, reasons in (
        (worlds.pod(host_network=True), ["host-network"] * 2),
        (worlds.pod(ips=()), ["pod-ip-missing"] * 2),
        (worlds.pod(), ["pod-ip-missing"]),
    ):
        found = requests(pod, Shape(offers, pod.ports), SITE)
        assert [(row.reason, row.more) for row in found.skipped] == [(reason, 49) for reason in reasons]


# --- the plan is the same --------------------------------------------------------------------------------------------

EIGHT = PortRange(61000, 61007)
TARGETS = st.integers(1, 40) | st.sampled_from(["http", "dns"])
PODS = st.builds(
    worlds.pod,
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from([["10.244.3.17"], ["10.244.3.18"], ["10.244.3.19", "fd00:244::17"], []]),
    namespace=st.sampled_from(["shop", "bank", "shop-2"]),
    uid=st.just("u"),
    ports=st.sampled_from(
        [(), (ContainerPort(7, "http"), ContainerPort(8, "dns", "UDP")), (ContainerPort(9, "http", host_port=4001),)]
    ),
    annotation=st.sampled_from([None, '[{"podPort":33,"nodePort":61004}]']),
)
SERVICES = st.builds(
    worlds.service,
    st.sampled_from(["x", "y"]),
    st.lists(st.tuples(TARGETS, st.sampled_from(["TCP", "UDP", "SCTP"])), max_size=30),
    namespace=st.sampled_from(["shop", "bank", "shop-2"]),
    families=st.sampled_from([("IPv4",), ("IPv6",), ("IPv4", "IPv6")]),
)
STATES = st.builds(
    lambda pods, services: worlds.cluster(worlds.node(), *pods, *services),
    st.lists(PODS, max_size=6, unique_by=lambda pod: pod.ref),
    st.lists(SERVICES, max_size=4, unique_by=lambda service: service.key),
)
OWNERS = st.builds(PodPort, st.sampled_from([f"{n}/{p}" for n in ("shop", "bank") for p in "abcd"]), st.integers(1, 40))
PASTS = st.builds(
    Previous,
    st.tuples(st.dictionaries(OWNERS, st.integers(61000, 61007), max_size=6)),
    before=st.dictionaries(OWNERS, st.integers(61000, 61007), max_size=3),
)
POLICIES = st.sampled_from(
    [
        None,
        Policy(per_pod=2),
        Policy(per_namespace=3),
        Policy(deny=("bank",)),
        Policy(pins=(Pin("pod", "shop/a", 39, 61007, 0), Pin("service", "bank/x", 38, 61006, 1)), per_pod=1),
    ]
)


@given(STATES, PASTS, POLICIES)
def test_a_plan_is_the_same_as_if_every_port_were_expanded(
    state: ClusterState, past: Previous, policy: Policy | None
) -> None:
    settings = Desired(EIGHT, {}, policy)
    bounded = render(state, worlds.node(), settings, past)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nplconf.desired.demand.Bound", lambda *_: Bound())
        assert render(state, worlds.node(), settings, past) == bounded


# --- its cost --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "other ports each", "sctp", "named", "denied", "four namespaces"])
def test_ten_thousand_ports_of_four_services_on_a_hundred_pods_cost_little(kind: str, mocker: MockerFixture) -> None:
    expanded = mocker.spy(Offer, "__init__")
    state = crowd(kind)
    policy = Policy(deny=("shop",)) if kind == "denied" else None
    tracemalloc.start()
    started = time.process_time()
    plan = render(state, worlds.node(), Desired(worlds.RANGE, {}, policy), Previous())
    spent, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spent < 2
    assert peak < 40e6
    assert expanded.call_count == 4
    assert ports_of(plan) == (1_000_000 if kind == "four namespaces" else 4_000_000)
    assert len(plan.skipped) <= 400


def crowd(kind: str) -> ClusterState:
    def namespace(i: int) -> str:
        return f"n{i % 4}" if kind == "four namespaces" else "shop"

    def target(i: int, service: int) -> int | str:
        return f"n{i}" if kind == "named" else i + 1 + (service * 10_000 if kind == "other ports each" else 0)

    protocol = "SCTP" if kind == "sctp" else "TCP"
    pods = [worlds.pod(f"p-{i}", [f"10.244.3.{i + 1}"], namespace=namespace(i)) for i in range(100)]
    services = [
        worlds.service(f"s-{s}", [(target(i, s), protocol) for i in range(10_000)], namespace=namespace(s))
        for s in range(4)
    ]
    return worlds.cluster(worlds.node(), *pods, *services)


def ports_of(plan: Plan) -> int:
    """How many ports of Services the plan accounts for."""
    return sum(len(m.services) for m in plan.mappings) + sum(1 + row.more for row in plan.skipped)
