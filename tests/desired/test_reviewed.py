"""A reviewed plan and the present cluster: valid, stale and pending rows."""

from dataclasses import replace

import pytest
from worlds import BOTH, NODE, RANGE, cluster, mapping, node, plan, pod, ref, service

from nplconf.desired.render import Desired
from nplconf.desired.reviewed import Resolved, resolve
from nplconf.model import ClusterState, ContainerPort, Node, Plan, Pod, PortRange, Service, Skipped

REVIEWED = plan(mapping(61044))
ONE = PortRange(61044, 61044)


def resolved(reviewed: Plan, *objects: Node | Pod | Service, exact: bool = False, **more: object) -> Resolved:
    state = replace(cluster(node(), *objects), **more)  # type: ignore[arg-type]
    return resolve(reviewed, state, node(), Desired(RANGE), exact=exact)


def reasons(found: Resolved) -> list[str]:
    return [stale.reason for stale in found.stale]


def test_a_pod_that_comes_back_under_its_name_has_its_reviewed_number_with_its_new_address() -> None:
    found = resolved(REVIEWED, pod(ips=["10.244.9.9"], uid="uid-new"), service())
    (row,) = found.plan.mappings
    assert (row.node_port, row.pod_ip, row.pod.uid) == (61044, "10.244.9.9", "uid-new")
    assert not found.stale
    assert not found.pending


def test_a_row_whose_pod_is_gone_is_stale() -> None:
    found = resolved(REVIEWED, service())
    assert found.plan.mappings == ()
    assert reasons(found) == ["pod-gone"]


def test_a_row_whose_pod_has_ended_is_stale() -> None:
    assert reasons(resolved(REVIEWED, pod(phase="Succeeded"), service())) == ["pod-gone"]


@pytest.mark.parametrize(("where", "reason"), [("worker-2", "other-node"), ("", "pod-gone")])
def test_a_row_whose_pod_runs_elsewhere_is_stale(where: str, reason: str) -> None:
    assert reasons(resolved(REVIEWED, service(), elsewhere={"shop/web-0": where})) == [reason]


def test_a_pod_that_ended_here_and_runs_elsewhere_now_is_on_another_node() -> None:
    found = resolved(REVIEWED, pod(phase="Failed"), service(), elsewhere={"shop/web-0": "worker-2"})
    assert reasons(found) == ["other-node"]


def test_a_row_that_no_service_asks_for_any_more_is_stale() -> None:
    assert reasons(resolved(REVIEWED, pod(), service(enabled=False))) == ["not-selected"]


def test_a_row_is_not_hidden_by_another_protocol_that_is_not_available() -> None:
    found = resolved(REVIEWED, pod(), service(ports=[(8080, "SCTP")]))
    assert reasons(found) == ["not-selected"]


def test_a_row_is_not_hidden_by_another_family_that_is_not_available() -> None:
    assert reasons(resolved(REVIEWED, pod(), service(families=["IPv6"]))) == ["not-selected"]


def test_a_row_that_is_not_available_now_is_skipped_with_its_reason() -> None:
    found = resolved(REVIEWED, pod(ips=()), service())
    assert found.stale == ()
    assert [s.reason for s in found.plan.skipped] == ["pod-ip-missing"]


def test_a_pod_that_the_plan_does_not_know_waits() -> None:
    found = resolved(REVIEWED, pod(), pod("web-1", ["10.244.3.18"]), service())
    assert [(p.pod, p.pod_port, p.protocol, p.reason) for p in found.pending] == [
        (ref("web-1"), 8080, "tcp", "not-reviewed")
    ]
    assert [m.pod.name for m in found.plan.mappings] == ["web-0"]


def test_what_a_policy_kept_out_of_the_reviewed_plan_does_not_wait() -> None:
    row = Skipped("shop/web-1", 8080, "tcp", "shop/web", "policy", "no", "spec.namespaces.deny[0]")
    reviewed = replace(REVIEWED, skipped=(row,))
    assert resolved(reviewed, pod(), pod("web-1", ["10.244.3.18"]), service()).pending == ()


def test_what_was_not_available_at_the_review_waits_for_the_next_one() -> None:
    row = Skipped("shop/web-1", 8080, "tcp", "shop/web", "pod-ip-missing", "no")
    reviewed = replace(REVIEWED, skipped=(row,))
    found = resolved(reviewed, pod(), pod("web-2", ["10.244.3.19"]), pod("web-1", ["10.244.3.18"]), service())
    assert [p.pod.name for p in found.pending] == ["web-1", "web-2"]


def test_the_reviewed_number_stays_although_another_one_would_be_chosen() -> None:
    moved = plan(mapping(61999))
    (row,) = resolved(moved, pod(annotation='[{"podPort":8080,"nodePort":61001}]'), service()).plan.mappings
    assert row.node_port == 61999


def test_a_number_that_another_program_has_now_fails_its_row_and_moves_nothing() -> None:
    other = service("lb", node_port=61044, enabled=False)
    found = resolved(REVIEWED, pod(), service(), other)
    assert found.plan.mappings == ()
    ((row, why),) = found.refused
    assert row == REVIEWED.mappings[0]
    assert why == "port 61044 is a nodePort of Service shop/lb"
    assert found.pending == (), "it was reviewed"


def test_a_number_that_another_program_has_fails_its_row_also_where_no_other_is_free() -> None:
    other = service("lb", node_port=61044, enabled=False)
    state = cluster(node(), pod(), service(), other)
    found = resolve(replace(REVIEWED, port_range=ONE), state, node(), Desired(ONE))
    assert [why for _, why in found.refused] == ["port 61044 is a nodePort of Service shop/lb"]


def test_a_number_that_is_a_pods_host_port_now_fails_its_row_and_says_whose() -> None:
    other = pod("other", ["10.244.3.18"], ports=[ContainerPort(1, host_port=61044)], labels={})
    ((_, why),) = resolved(REVIEWED, pod(), other, service()).refused
    assert "61044 is a hostPort of Pod shop/other" in why


def test_a_number_outside_the_range_of_the_node_is_not_available() -> None:
    ((_, why),) = resolved(plan(mapping(50000)), pod(), service()).refused
    assert why == "port 50000 is not available"


def test_the_range_is_the_reviewed_one() -> None:
    narrow = PortRange(61040, 61050)
    assert resolved(replace(REVIEWED, port_range=narrow), pod(), service()).plan.port_range == narrow


def test_a_pod_port_that_has_a_host_port_in_one_family_keeps_its_number_in_the_other() -> None:
    reviewed = plan(mapping(61044, family="IPv6"), mapping(64001, via="hostPort"))
    both = pod(ips=["10.244.3.17", "fd00:244::17"], ports=[ContainerPort(8080, host_port=64001, host_ip="0.0.0.0")])
    found = resolved(reviewed, both, service(families=BOTH))
    assert found.refused == ()
    assert {(m.family, m.node_port) for m in found.plan.mappings} == {("IPv4", 64001), ("IPv6", 61044)}


def test_a_host_port_that_was_not_reviewed_is_not_advertised() -> None:
    found = resolved(REVIEWED, pod(ports=[ContainerPort(8080, host_port=4001)]), service())
    assert found.plan.mappings == ()
    assert found.pending == ()
    ((_, why),) = found.refused
    assert "the hostPort 4001 for this port now" in why


def test_a_reviewed_host_port_is_advertised_only_while_it_is_the_same() -> None:
    reviewed = plan(mapping(4001, via="hostPort"))
    same = resolved(reviewed, pod(ports=[ContainerPort(8080, host_port=4001)]), service())
    assert [m.node_port for m in same.plan.mappings] == [4001]
    other = resolved(reviewed, pod(ports=[ContainerPort(8080, host_port=4002)]), service())
    assert other.plan.mappings == ()
    ((_, why),) = other.refused
    assert why == "the Pod has no hostPort 4001 for this port any more"


def test_the_reviewed_clients_stay_the_only_ones() -> None:
    reviewed = plan(mapping(61044)._replace(source_ranges=("10.0.0.0/8",)))
    (row,) = resolved(reviewed, pod(), service()).plan.mappings
    assert row.source_ranges == ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (pod(uid="uid-new"), "uid-changed"),
        (pod(ips=["10.244.9.9"]), "ip-changed"),
        (pod(ips=()), "ip-changed"),
        (pod(ips=["127.0.0.1"]), "ip-changed"),
        (pod(host_network=True), "not-selected"),
    ],
)
def test_exact_requires_the_same_pod_at_the_same_address(now: Pod, reason: str) -> None:
    found = resolved(REVIEWED, now, service(), exact=True)
    assert reasons(found) == [reason]
    assert found.pending == ()
    assert reasons(resolved(REVIEWED, now, service())) == []


def test_exact_fails_for_a_shared_address_and_for_a_node_without_one() -> None:
    found = resolved(REVIEWED, pod(), pod("web-1"), service(), exact=True)
    assert reasons(found) == ["ip-changed"]
    bare = replace(node(), addresses=())
    state = replace(cluster(bare, pod(), service()))
    assert reasons(resolve(REVIEWED, state, bare, Desired(RANGE), exact=True)) == ["ip-changed"]


def test_exact_reports_nothing_for_a_plan_that_fits() -> None:
    found = resolved(REVIEWED, pod(), service(), exact=True)
    assert (found.stale, found.pending, found.refused) == ((), (), ())
    assert found.plan.mappings == REVIEWED.mappings
    assert found.plan.node == NODE


def test_a_snapshot_of_one_node_alone_still_resolves() -> None:
    state = ClusterState((node(),), (pod(uid="uid-new"),), (service(),))
    assert len(resolve(REVIEWED, state, node(), Desired(RANGE)).plan.mappings) == 1


def test_a_pod_that_is_being_deleted_gets_no_mapping_that_it_did_not_have() -> None:
    deleted = replace(pod(), terminating=True)
    found = resolved(REVIEWED, deleted, service())
    assert (found.plan.mappings, found.stale, found.refused, found.pending) == ((), (), (), ())
    assert [(row.reason, row.pod_port) for row in found.plan.skipped] == [("terminating", 8080)]
    kept = resolve(REVIEWED, cluster(node(), deleted, service()), node(), Desired(RANGE), mapped={mapping(61044).owner})
    assert [m.node_port for m in kept.plan.mappings] == [61044]
    assert kept.plan.skipped == ()


def test_a_row_of_a_pod_that_is_being_deleted_is_stale_when_nothing_asks_for_it() -> None:
    deleted = replace(pod(), terminating=True)
    assert reasons(resolved(REVIEWED, deleted, service(enabled=False))) == ["not-selected"]
