"""A policy in automatic mode: denied Pods and the rules that deny them, ports, and source ranges."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import BOTH, RANGE, cluster, node, pod, service

from nplconf.desired.policy import pinned
from nplconf.desired.ports import Previous
from nplconf.desired.render import Desired, render
from nplconf.model import ContainerPort, Node, Plan, Pod, PodPort, PortMapping, PortRange, Service, Skipped
from nplconf.plan.live import numbers
from nplconf.plan.policy import Pin, Policy, Reserved, Sources

PODS = tuple(pod(f"web-{i}", [f"10.244.3.{i + 1}"]) for i in range(4))
OWNERS = tuple(PodPort(p.ref.key, 8080) for p in PODS)


def rendered(policy: Policy, *objects: Node | Pod | Service, past: Previous | None = None) -> Plan:
    return render(cluster(node(), *objects), node(), Desired(RANGE, {}, policy), past or Previous())


def had(*pairs: tuple[PodPort, int]) -> Previous:
    return Previous((dict(pairs),))


def why(found: Plan) -> list[tuple[str, str | None]]:
    return [(s.reason, s.rule) for s in found.skipped]


def pod_pin(number: int, key: str = "shop/web-0", index: int = 0) -> Pin:
    return Pin("pod", key, 8080, number, index)


def service_pin(number: int, key: str = "shop/web", index: int = 0) -> Pin:
    return Pin("service", key, 8080, number, index)


# --- namespaces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (Policy(deny=("kube-*", "shop")), "spec.namespaces.deny[1]"),
        (Policy(allow=("shop",), deny=("sh*",)), "spec.namespaces.deny[0]"),
        (Policy(allow=("web",)), "spec.namespaces.allow"),
        (Policy(allow=()), "spec.namespaces.allow"),
    ],
)
def test_a_namespace_that_may_not_be_exposed_is_skipped_with_its_rule(policy: Policy, rule: str) -> None:
    found = rendered(policy, PODS[0], service())
    assert found.mappings == ()
    assert why(found) == [("policy", rule)]


def test_a_namespace_that_is_allowed_is_exposed() -> None:
    assert len(rendered(Policy(allow=("s*p",), deny=("shopping",)), PODS[0], service()).mappings) == 1


def test_a_host_port_in_a_denied_namespace_is_not_advertised_either() -> None:
    found = rendered(Policy(deny=("shop",)), pod(ports=[ContainerPort(8080, host_port=4001)]), service())
    assert found.mappings == ()
    assert why(found) == [("policy", "spec.namespaces.deny[0]")]


def test_no_policy_and_an_empty_one_are_the_same() -> None:
    objects: tuple[Pod | Service, ...] = (*PODS, service(families=BOTH))
    assert rendered(Policy(), *objects) == render(cluster(node(), *objects), node(), Desired(RANGE), Previous())


# --- pins ------------------------------------------------------------------------------------------------------------


def test_a_pinned_pod_has_its_number_wherever_it_was_before() -> None:
    for past in (Previous(), had((OWNERS[0], 61500))):
        (row,) = rendered(Policy(pins=(pod_pin(61080),)), PODS[0], service(), past=past).mappings
        assert row.node_port == 61080


def test_a_pinned_port_is_given_to_no_other_pod_even_while_its_pod_is_absent() -> None:
    past = had((OWNERS[1], 61080))
    found = rendered(Policy(pins=(pod_pin(61080),)), PODS[1], service(), past=past)
    assert [m.node_port == 61080 for m in found.mappings] == [False]


def test_a_pin_whose_number_is_taken_is_skipped_and_not_moved() -> None:
    policy = Policy(pins=(Pin("pod", "shop/other", 1, 61001, 0), pod_pin(61080, index=1)))
    for found in (
        rendered(policy, PODS[0], service(), past=Previous(taken=frozenset({61080}))),
        rendered(policy, PODS[0], service(), service("lb", node_port=61080, enabled=False)),
    ):
        assert found.mappings == ()
        assert why(found) == [("pin-taken", "spec.pins[1]")]


def test_a_pin_that_is_taken_names_who_has_its_number() -> None:
    other = service("lb", node_port=61080, enabled=False)
    (row,) = rendered(Policy(pins=(pod_pin(61080),)), PODS[0], service(), other).skipped
    assert row.message == "the pinned port 61080 is a nodePort of Service shop/lb"
    taken = Previous(taken=frozenset({61080}))
    (row,) = rendered(Policy(pins=(pod_pin(61080),)), PODS[0], service(), past=taken).skipped
    assert row.message == "the pinned port 61080 is not available on the node"


def test_a_services_pin_goes_to_the_pod_that_has_it_else_to_the_first_by_name() -> None:
    policy = Policy(pins=(service_pin(61081),))
    assert pinned_pod(rendered(policy, *PODS, service())) == "web-0"
    assert pinned_pod(rendered(policy, *PODS, service(), past=had((OWNERS[2], 61081)))) == "web-2"
    assert pinned_pod(rendered(policy, *PODS[:2], service(), past=had((OWNERS[2], 61081)))) == "web-0"


def pinned_pod(found: Plan) -> str:
    (name,) = (m.pod.name for m in found.mappings if m.node_port == 61081)
    return name


def test_the_live_rule_decides_before_the_last_plan_who_has_a_services_pin() -> None:
    past = Previous(({OWNERS[3]: 61081}, {OWNERS[2]: 61081}))
    assert pinned_pod(rendered(Policy(pins=(service_pin(61081),)), *PODS, service(), past=past)) == "web-3"


@pytest.mark.parametrize("before", [had(), had((OWNERS[1], 61081), (OWNERS[0], 61300))])
def test_a_services_pin_that_is_taken_leaves_the_same_pod_without_a_number_on_every_run(before: Previous) -> None:
    policy = Policy(pins=(service_pin(61081),))
    other = service("lb", node_port=61081, enabled=False)
    first = rendered(policy, *PODS, service(), other, past=before)
    assert [row.reason for row in first.skipped] == ["pin-taken"]
    again = rendered(policy, *PODS, service(), other, past=Previous(numbers=(numbers(first.mappings),)))
    assert again == first


def test_a_pods_own_pin_goes_before_its_services() -> None:
    policy = Policy(pins=(service_pin(61081), pod_pin(61080, index=1)))
    found = rendered(policy, *PODS, service())
    assert {m.pod.name: m.node_port for m in found.mappings}["web-0"] == 61080
    assert pinned_pod(found) == "web-1"


def test_two_services_pins_go_to_two_pods() -> None:
    pins = (service_pin(61081), service_pin(61082, "shop/second", 1))
    assert set(pinned({o: {"shop/web", "shop/second"} for o in OWNERS}, Policy(pins=pins), Previous())) == set(
        OWNERS[:2]
    )


def test_a_pin_is_for_the_kind_it_names_though_a_pod_and_a_service_have_one_name() -> None:
    service_of_that_name = Policy(pins=(service_pin(61081, "shop/web-0"),))
    assert pinned({OWNERS[0]: {"shop/web"}}, service_of_that_name, Previous()) == {}
    pod_of_that_name = Policy(pins=(pod_pin(61080, "shop/web-0"),))
    assert pinned({OWNERS[1]: {"shop/web-0"}}, pod_of_that_name, Previous()) == {}


def test_a_services_pin_goes_to_the_first_by_name_whatever_the_order_and_though_two_had_it() -> None:
    asking = {owner: {"shop/web"} for owner in reversed(OWNERS)}
    policy = Policy(pins=(service_pin(61081),))
    assert list(pinned(asking, policy, Previous())) == [OWNERS[0]]
    assert list(pinned(asking, policy, had((OWNERS[3], 61081), (OWNERS[2], 61081)))) == [OWNERS[2]]


def test_a_taken_pin_of_a_service_moves_no_port() -> None:
    asking = {owner: {"shop/web"} for owner in reversed(OWNERS)}
    past = had((OWNERS[0], 61300), (OWNERS[1], 61081))
    assert list(pinned(asking, Policy(pins=(service_pin(61081),)), past, {61081})) == [OWNERS[1]]


def test_a_pin_of_a_namespace_that_is_not_allowed_yet_waits() -> None:
    found = rendered(Policy(allow=("web",), pins=(pod_pin(61080),)), PODS[0], service())
    assert why(found) == [("policy", "spec.namespaces.allow")]


# --- ranges ----------------------------------------------------------------------------------------------------------

SHOP = Reserved("shop", PortRange(61900, 61901), 0)


def test_a_namespace_with_a_range_draws_from_it_alone_and_says_when_it_is_full() -> None:
    found = rendered(Policy(ranges=(SHOP,)), *PODS, service(), past=had((OWNERS[3], 61500)))
    assert sorted(m.node_port for m in found.mappings) == [61900, 61901]
    assert why(found) == [("range-full", "spec.ranges[0]")] * 2


def test_a_namespace_may_have_several_ranges() -> None:
    more = Reserved("shop", PortRange(61100, 61101), 1)
    found = rendered(Policy(ranges=(SHOP, more)), *PODS, service())
    assert sorted(m.node_port for m in found.mappings) == [61100, 61101, 61900, 61901]


def test_the_range_of_a_namespace_is_used_by_no_other_namespace() -> None:
    narrow = Desired(PortRange(61000, 61002), {}, Policy(ranges=(Reserved("bank", PortRange(61001, 61002), 0),)))
    found = render(cluster(node(), *PODS, service()), node(), narrow, had((OWNERS[0], 61001)))
    assert [m.node_port for m in found.mappings] == [61000]
    assert why(found) == [("range-full", None)] * 3


@pytest.mark.parametrize(
    ("ranges", "numbers"),
    [
        ((SHOP, Reserved("shop", PortRange(61100, 61100), 1)), "61900-61901, 61100-61100"),
        ((Reserved("bank", PortRange(61000, 62000), 0),), "61000-62000"),
    ],
    ids=["its own", "the node's"],
)
def test_a_full_range_is_named_with_its_numbers(ranges: tuple[Reserved, ...], numbers: str) -> None:
    found = rendered(Policy(ranges=ranges), *PODS, service())
    assert {s.message for s in found.skipped} == {f"no number of {numbers} is free"}


def test_a_range_changes_no_number_of_those_it_is_not_about() -> None:
    objects: tuple[Pod | Service, ...] = (*PODS, service())
    free = rendered(Policy(), *objects)
    assert rendered(Policy(ranges=(Reserved("bank", PortRange(61990, 61999), 0),)), *objects) == free


# --- caps ------------------------------------------------------------------------------------------------------------


def test_a_cap_counts_numbers_and_not_protocols_or_families() -> None:
    both = pod(ips=["10.244.3.17", "fd00:244::17"])
    asking = service(ports=[(8080, "TCP"), (8080, "UDP"), (9090, "TCP")], families=BOTH)
    found = rendered(Policy(per_pod=1), both, asking)
    assert {m.pod_port for m in found.mappings} == {8080}
    assert len(found.mappings) == 4
    assert set(why(found)) == {("policy", "spec.caps.perPod")}


def test_a_cap_keeps_what_is_pinned_then_what_has_a_number() -> None:
    policy = Policy(pins=(pod_pin(61080, "shop/web-3"),), per_namespace=2)
    past = Previous(({OWNERS[2]: 61500}, {OWNERS[1]: 61501}))
    found = rendered(policy, *PODS, service(), past=past)
    assert {m.pod.name: m.node_port for m in found.mappings} == {"web-3": 61080, "web-2": 61500}
    assert why(found) == [("policy", "spec.caps.perNamespace")] * 2


def test_a_pod_has_as_many_numbers_as_its_cap_says() -> None:
    asking = service(ports=[(port, "TCP") for port in (8080, 8081, 8082)])
    found = rendered(Policy(per_pod=2), PODS[0], asking)
    assert [m.pod_port for m in sorted(found.mappings, key=lambda m: m.pod_port)] == [8080, 8081]
    assert why(found) == [("policy", "spec.caps.perPod")]


def test_a_host_port_counts_for_no_cap() -> None:
    first = pod("web-0", ["10.244.3.1"], ports=[ContainerPort(8080, host_port=4001)])
    found = rendered(Policy(per_namespace=1), first, PODS[1], service())
    assert [(m.pod.name, m.via) for m in found.mappings] == [("web-0", "hostPort"), ("web-1", "dnat")]


def test_a_number_of_a_service_is_not_given_under_a_policy_either() -> None:
    (free,) = rendered(Policy(), PODS[0], service()).mappings
    other = service("lb", node_port=free.node_port, enabled=False)
    (row,) = rendered(Policy(), PODS[0], service(), other).mappings
    assert row.node_port != free.node_port


def test_a_pin_that_is_taken_counts_for_no_cap() -> None:
    policy = Policy(pins=(pod_pin(61080),), per_namespace=1)
    found = rendered(policy, *PODS[:2], service(), past=Previous(taken=frozenset({61080})))
    assert [m.pod.name for m in found.mappings] == ["web-1"]


# --- clients ---------------------------------------------------------------------------------------------------------


def sources(*networks: str) -> Policy:
    return Policy(sources=(Sources("bank", ("192.0.2.0/24",), 0), Sources("shop", networks, 1)))


def test_the_clients_of_a_namespace_are_in_its_rows_in_as_few_networks_as_can_be() -> None:
    both = pod(ips=["10.244.3.17", "fd00:244::17"])
    policy = sources("10.1.0.0/16", "fd00::/8", "10.0.0.0/16", "10.0.7.0/24")
    four, six = rendered(policy, both, service(families=BOTH)).mappings
    assert (four.source_ranges, six.source_ranges) == (("10.0.0.0/15",), ("fd00::/8",))


def test_a_family_of_which_no_client_may_come_is_not_mapped() -> None:
    both = pod(ips=["10.244.3.17", "fd00:244::17"])
    found = rendered(sources("10.0.0.0/8"), both, service(families=BOTH))
    assert [m.family for m in found.mappings] == ["IPv4"]
    assert why(found) == [("policy", "spec.sourceRanges[1]")]


def test_a_host_port_cannot_be_closed_so_it_is_not_advertised() -> None:
    found = rendered(sources("10.0.0.0/8"), pod(ports=[ContainerPort(8080, host_port=4001)]), service())
    assert found.mappings == ()
    assert why(found) == [("policy", "spec.sourceRanges[1]")]


def test_open_host_ports_are_one_row_that_counts_them() -> None:
    ports = [ContainerPort(8080, host_port=4001), ContainerPort(9090, host_port=4002)]
    found = rendered(sources("10.0.0.0/8"), pod(ports=ports), service(ports=[(8080, "TCP"), (9090, "TCP")]))
    assert [(s.pod_port, s.reason, s.more) for s in found.skipped] == [(8080, "policy", 1)]


def test_a_host_port_of_a_namespace_that_is_open_to_everybody_is_advertised() -> None:
    policy = Policy(sources=(Sources("bank", ("10.0.0.0/8",), 0),))
    (row,) = rendered(policy, pod(ports=[ContainerPort(8080, host_port=4001)]), service()).mappings
    assert (row.node_port, row.via) == (4001, "hostPort")


def test_other_namespaces_are_open_to_everybody() -> None:
    (row,) = rendered(Policy(sources=(Sources("bank", ("10.0.0.0/8",), 0),)), PODS[0], service()).mappings
    assert row.source_ranges == ()


# --- whatever the input ----------------------------------------------------------------------------------------------

SMALL = PortRange(61000, 61015)
NAMESPACES = ("bank", "shop", "team-a", "team-b")
CROWD = tuple(
    pod(f"p-{i}", [f"10.244.3.{len(NAMESPACES) * i + j + 1}"], namespace=namespace)
    for i in range(4)
    for j, namespace in enumerate(NAMESPACES)
)
ASKING = tuple(service("web", ((8080, "TCP"), (9090, "UDP")), namespace=n) for n in NAMESPACES)


SUBJECTS: dict[Literal["pod", "service"], st.SearchStrategy[str]] = {
    "pod": st.builds("{}/{}".format, st.sampled_from(NAMESPACES), st.sampled_from(("p-0", "p-3", "p-9"))),
    "service": st.builds("{}/web".format, st.sampled_from(NAMESPACES)),
}
"""What a pin may name, by its kind. No two pins name the same subject and port: that is bad data."""


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    places = iter(draw(st.permutations(range(SMALL.first, SMALL.last + 1))))
    pods, services = (st.tuples(st.just(kind), SUBJECTS[kind]) for kind in SUBJECTS)
    ports = st.sampled_from((8080, 9090))
    chosen = draw(st.lists(st.tuples(pods | services, ports), max_size=5, unique=True))
    pins = [Pin(kind, subject, port, next(places), i) for i, ((kind, subject), port) in enumerate(chosen)]
    ranges = [
        Reserved(namespace, PortRange(number, number), i)
        for i, (namespace, number) in enumerate(
            (draw(st.sampled_from(NAMESPACES)), next(places)) for _ in range(draw(st.integers(0, 5)))
        )
    ]
    caps = st.none() | st.integers(1, 4)
    deny = draw(st.lists(st.sampled_from(("team-*", "bank")), max_size=1))
    return Policy(None, tuple(deny), tuple(pins), tuple(ranges), draw(caps), draw(caps))


OWNING = st.dictionaries(
    st.builds(PodPort, st.sampled_from([p.ref.key for p in CROWD]), st.sampled_from((8080, 9090))),
    st.integers(SMALL.first - 2, SMALL.last + 2),
)
PASTS = st.builds(Previous, st.tuples(OWNING, OWNING), st.frozensets(st.integers(SMALL.first, SMALL.last), max_size=4))


@given(policies(), PASTS, st.permutations(CROWD), st.permutations(ASKING))
def test_a_policy_is_kept_to_whatever_the_order_and_the_past(
    policy: Policy, past: Previous, pods: Sequence[Pod], services: Sequence[Service]
) -> None:
    requests = Desired(SMALL, {}, policy)
    found = render(cluster(node(), *pods, *services), node(), requests, past)
    assert found == render(cluster(node(), *CROWD, *ASKING), node(), requests, past)
    given_numbers = numbers(found.mappings)
    assert len(set(given_numbers.values())) == len(given_numbers)
    _within(given_numbers, found.mappings, policy)
    _all_told(found, policy)


def _within(given_numbers: dict[PodPort, int], rows: Sequence[PortMapping], policy: Policy) -> None:
    pins = {pin.node_port: pin for pin in policy.pins}
    for row in rows:
        assert policy.denied(row.pod.namespace) is None
        if pin := pins.get(row.node_port):
            assert pin.pod_port == row.pod_port
            assert pin.subject in (row.pod.key, *row.services)
            continue
        own = policy.ranges_of(row.pod.namespace)
        assert not own or any(row.node_port in reserved.ports for reserved in own)
        assert all(row.node_port not in r.ports for r in policy.ranges if r.namespace != row.pod.namespace)
    per_pod = Counter(owner.pod for owner in given_numbers)
    per_namespace = Counter(owner.pod.partition("/")[0] for owner in given_numbers)
    assert max(per_pod.values(), default=0) <= (policy.per_pod or 99)
    assert max(per_namespace.values(), default=0) <= (policy.per_namespace or 99)


def _all_told(found: Plan, policy: Policy) -> None:
    """Each request is a row or is skipped, and the rule that skipped it is there."""
    assert len(found.mappings) + sum(1 + row.more for row in found.skipped) == 2 * len(CROWD)
    assert all(_there(row, policy) for row in found.skipped)


def _there(row: Skipped, policy: Policy) -> bool:
    rules = {pin.rule for pin in policy.pins} | {r.rule for r in policy.ranges}
    rules |= {f"spec.namespaces.deny[{i}]" for i in range(len(policy.deny))}
    rules |= {"spec.caps.perPod", "spec.caps.perNamespace"}
    return row.rule in rules if row.rule else row.reason == "range-full"


@given(policies(), PASTS)
def test_a_second_run_changes_nothing(policy: Policy, past: Previous) -> None:
    first = bounded(policy, past)
    again = bounded(policy, replace(past, numbers=(numbers(first.mappings),)))
    if any(pin.kind == "service" and pin.node_port in past.taken for pin in policy.pins):
        assert set(again.mappings) >= set(first.mappings), "whose loss such a pin is settles later"
        first, again = again, bounded(policy, replace(past, numbers=(numbers(again.mappings),)))
    assert again == first


def bounded(policy: Policy, past: Previous) -> Plan:
    return render(cluster(node(), *CROWD, *ASKING), node(), Desired(SMALL, {}, policy), past)
