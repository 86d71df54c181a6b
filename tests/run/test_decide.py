"""A run's decision from what it read, before it writes anything."""

from dataclasses import replace

import pytest
from readings import SETTINGS, decided, observed
from worlds import BOTH, RANGE, cluster, mapping, node, pod, ref, service
from worlds import plan as planned

from nplconf.errors import BadDataError
from nplconf.model import Holds, Pod, PortRange, Service, Skipped, Taken
from nplconf.plan.policy import Policy
from nplconf.plan.state import State
from nplconf.run.decide import decide, heal, trust
from nplconf.run.decision import Bounds, Decision

REVIEWED = planned(mapping(61044))


def reasons(found: Decision) -> list[tuple[str, str, int]]:
    return [(c.action, c.reason, c.mapping.node_port) for c in found.diff.changes]


# --- whom a run believes ---------------------------------------------------------------------------------------------


def test_a_pod_of_another_node_gets_nothing_and_is_no_pod_of_this_one() -> None:
    found = decided(pod(on="worker-2", annotation="[]"), service())
    assert found.patches == ()
    assert found.next_state.empty_seen


@pytest.mark.parametrize(
    ("in_snapshot", "remembered", "in_plan", "unusable"),
    [
        ("a", "a", "a", False),
        ("a", "b", "a", True),
        ("a", None, "b", True),
        (None, "a", "b", True),
        ("a", "a", "b", True),
        (None, "a", None, False),
        (None, None, "b", False),
        ("a", None, None, False),
    ],
)
def test_two_identities_of_a_cluster_that_are_known_and_differ_stop_everything(
    in_snapshot: str | None, remembered: str | None, in_plan: str | None, *, unusable: bool
) -> None:
    state = cluster(node(), pod(), service(), identity=in_snapshot)
    live = observed(mapping(61001), state=State(boot="boot-1", cluster=remembered))
    found = decide(state, live, SETTINGS, Bounds(replace(REVIEWED, cluster=in_plan)))
    assert found.unusable is unusable
    assert bool(found.diff.changes) is not unusable
    if unusable:
        assert found.next_state == live.state
        assert found.eligible == found.live == found.diff.unchanged


def test_a_file_without_the_node_is_bad_data_and_an_api_server_without_it_is_not_accepted() -> None:
    state = cluster(node("worker-2"), pod(), service())
    with pytest.raises(BadDataError, match=r'No Node named "worker-1".*Closest names: worker-2'):
        decide(state, observed(), SETTINGS)
    found = decide(replace(state, served=True), observed(mapping()), SETTINGS)
    assert found.blocked
    assert found.blocked.kind == "no-node"
    assert found.unusable
    assert found.diff.changes == ()


def test_a_limit_leaves_the_snapshot_usable() -> None:
    live = [mapping(61000 + i, pod=ref(f"web-{i}"), pod_ip=f"10.244.3.{i + 1}") for i in range(10)]
    pods = [pod(f"web-{i}", [f"10.244.3.{i + 1}"]) for i in range(10)]
    found = decided(*pods, on=observed(*live))
    assert found.blocked
    assert found.blocked.kind == "max-delete"
    assert not found.unusable


# --- a reviewed plan -------------------------------------------------------------------------------------------------


def test_a_policy_does_not_bind_what_was_reviewed() -> None:
    found = decided(pod(), service(), plan=REVIEWED, policy=Policy(deny=("shop",)))
    assert [m.node_port for m in found.eligible] == [61044]


def test_exact_fails_for_an_unavailable_port_although_nothing_is_pending() -> None:
    kept_out = Skipped("shop/web-0", 8080, "tcp", "shop/web", "policy", "no IPv6 client", "spec.sourceRanges[0]")
    reviewed = replace(REVIEWED, skipped=(kept_out,))
    found = decided(pod(), service(), service("lb", node_port=61044, enabled=False), plan=reviewed, exact=True)
    assert (found.pending, found.stale) == ((), ())
    assert found.inexact


@pytest.mark.parametrize(
    "objects",
    [
        (pod(uid="uid-new"), service()),
        (pod(), pod("web-1", ["10.244.3.18"]), service()),
        (pod(), service(), service("lb", node_port=61044, enabled=False)),
    ],
    ids=["stale", "pending", "a number that is gone"],
)
def test_with_exact_nothing_is_changed_or_published_if_anything_differs(objects: tuple[Pod | Service, ...]) -> None:
    found = decided(*objects, plan=REVIEWED, exact=True)
    assert found.inexact
    assert (found.diff.changes, found.patches) == ((), ())
    found = decided(*objects, plan=REVIEWED)
    assert not found.inexact


def test_exact_applies_a_plan_that_fits() -> None:
    found = decided(pod(), service(), plan=REVIEWED, exact=True)
    assert not found.inexact
    assert len(found.diff.changes) == len(found.patches) == 1


def test_a_row_whose_number_a_service_has_and_one_whose_number_a_process_has_both_fail() -> None:
    both = planned(mapping(61044), mapping(61045, pod=ref("web-1"), pod_ip="10.244.3.18"))
    taken = Holds(available=True, ranges=(RANGE,), taken=(Taken(61045, "tcp", "nginx[7]"),))
    other = service("lb", node_port=61044, enabled=False)
    found = decided(pod(), pod("web-1", ["10.244.3.18"]), service(), other, on=observed(holds=taken), plan=both)
    assert sorted((f.step, f.subject.split()[0]) for f in found.failures) == [
        ("hold", "tcp/61045"),
        ("number", "tcp/61044"),
    ]


def test_only_a_mapping_that_no_review_knows_is_removed_with_that_reason() -> None:
    live = [
        mapping(61044, pod_ip="10.244.9.9"),
        mapping(61050, pod=ref("web-1"), pod_ip="10.244.3.18"),
        mapping(61060, pod=ref("gone"), pod_ip="10.244.3.19"),
    ]
    pods = (pod(ips=["10.244.3.17", "fd00:244::17"]), pod("web-1", ["10.244.3.18"]))
    found = decided(*pods, service(families=BOTH), on=observed(*live), plan=REVIEWED)
    assert reasons(found) == [
        ("delete", "not-reviewed", 61050),
        ("delete", "pod-gone", 61060),
        ("change", "pod-ip-changed", 61044),
    ]


# --- without a cluster -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [True, False])
def test_a_run_without_a_cluster_has_not_seen_an_empty_one(*, seen: bool) -> None:
    live = observed(state=State(empty_seen=seen))
    for found in (heal(REVIEWED, live, SETTINGS, {"IPv4": ("10.10.10.10",)}), trust(REVIEWED, live, SETTINGS)):
        assert found.next_state.empty_seen is seen
        assert found.patches == ()
        assert reasons(found) == [("add", "new", 61044)]


def test_a_trusted_plan_leads_to_no_address_of_the_node_itself() -> None:
    inward = mapping(61050, pod=ref("web-1"), pod_ip="192.0.2.50")
    plan = replace(REVIEWED, mappings=(*REVIEWED.mappings, inward))
    found = trust(plan, observed(), SETTINGS, {"192.0.2.50", "127.0.0.1"})
    assert [m.node_port for m in found.eligible] == [61044]
    assert [(f.subject, f.message) for f in found.failures] == [
        (inward.subject, "192.0.2.50 is this node's own address")
    ]


def test_a_plan_of_another_cluster_is_not_trusted() -> None:
    found = trust(REVIEWED, observed(state=State(cluster="another")), SETTINGS)
    assert found.unusable
    assert found.diff.changes == ()


# --- a Node without addresses ----------------------------------------------------------------------------------------


def test_a_node_that_loses_its_addresses_keeps_those_of_the_last_run() -> None:
    bare = node(addresses=[("Hostname", "worker-1"), ("InternalIP", "bogus")])
    left = State(
        boot="boot-1", plan=REVIEWED, addresses={"IPv4": ("10.0.0.1", "10.10.10.10"), "IPv6": ("fd00:10::10",)}
    )
    new = pod("web-1", ["10.244.3.18"])
    found = decide(cluster(bare, pod(), new, service()), observed(mapping(), state=left), SETTINGS)
    assert [m.node_ip for m in found.eligible] == ["10.10.10.10"] * 2
    assert found.addresses == left.addresses == found.next_state.addresses
    assert [(c.action, c.mapping.pod.name) for c in found.diff.changes] == [("add", "web-1")]
    assert ["has no addresses in the cluster" in text for text in found.degraded] == [True]


def test_a_node_without_known_addresses_changes_nothing_while_a_mapping_is_live() -> None:
    bare = cluster(node(addresses=[]), pod(), service())
    found = decide(bare, observed(mapping()), SETTINGS)
    assert found.blocked
    assert (found.blocked.kind, found.unusable, found.eligible) == ("no-address", True, found.live)
    assert decide(bare, observed(), SETTINGS).blocked is None, "nothing can be lost"
    known = replace(SETTINGS, node_ips={"IPv4": "10.10.10.10"})
    assert decide(bare, observed(mapping()), known).blocked is None


def test_one_address_family_that_a_node_loses_is_accepted() -> None:
    left = State(boot="boot-1", addresses={"IPv4": ("10.10.10.10",), "IPv6": ("fd00:10::10",)})
    both = [mapping(), mapping(family="IPv6")]
    one = node(addresses=[("InternalIP", "10.10.10.10")])
    found = decide(cluster(one, pod(), service(families=BOTH)), observed(*both, state=left), SETTINGS)
    assert [m.family for m in found.eligible] == ["IPv4"]
    assert found.degraded == ()


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_mapping_that_moves_is_none_that_is_removed() -> None:
    live = [mapping(61000 + i, pod=ref(f"web-{i}"), pod_ip=f"10.244.3.{i + 1}") for i in range(10)]
    pods = [pod(f"web-{i}", [f"10.244.3.{i + 1}"]) for i in range(10)]
    taken = tuple(Taken(m.node_port, "tcp") for m in live)
    found = decided(*pods, service(), on=observed(*live, holds=Holds(True, (RANGE,), taken)))
    assert {(c.action, c.reason) for c in found.diff.changes} == {("change", "number-moved")}
    assert found.blocked is None


TEN = [mapping(61000 + i, pod=ref(f"web-{i}"), pod_ip=f"10.244.3.{i + 1}") for i in range(10)]
TEN_PODS = [pod(m.pod.name, [m.pod_ip], annotation="[]") for m in TEN]


@pytest.mark.parametrize("gone", [0, 2])
def test_a_blocked_run_carries_out_everything_but_the_doubted_removals(gone: int) -> None:
    rest = [mapping(61100 + i, pod=ref(f"gone-{i}"), pod_ip=f"10.244.4.{i + 1}") for i in range(gone)]
    live = observed(*TEN, *rest, state=State(boot="boot-1", plan=planned(*TEN, *rest)))
    new = pod("new", ["10.244.3.99"], labels={"app": "new"})
    found = decided(*TEN_PODS, new, service("other", selector={"app": "new"}), on=live)
    assert found.blocked
    assert [c.mapping.key for c in found.blocked.removals] == [m.key for m in TEN]
    removed = [("delete", "pod-gone", 61100 + i) for i in range(gone)]
    assert [row for row in reasons(found) if row[0] == "delete"] == removed
    assert [c.mapping.pod.name for c in found.diff.changes if c.action == "add"] == ["new"]
    assert {m.key for m in TEN} < {m.key for m in found.eligible}
    assert set(TEN) < set(found.next_state.plan.mappings)  # type: ignore[union-attr]
    assert {p.pod.name for p in found.patches} == {"new", *(m.pod.name for m in TEN)}


@pytest.mark.parametrize("cool_down", [0, 1800])
def test_the_port_of_a_mapping_that_stays_is_given_to_no_other(cool_down: int) -> None:
    tight = PortRange(61000, 61010)
    live = observed(*TEN, state=State(boot="boot-1", plan=planned(*TEN)), holds=Holds(True, (tight,)))
    new = [pod(f"new-{i}", [f"10.244.5.{i}"], labels={"app": "new"}) for i in range(4)]
    settings = replace(SETTINGS, cool_down=cool_down, port_range=tight)
    state = cluster(node(), *TEN_PODS, *new, service("other", selector={"app": "new"}))
    found = decide(state, live, settings)
    assert found.blocked
    assert [m.node_port for m in found.plan.mappings] == [61010]
    assert found.failures == ()


def test_a_reviewed_row_with_the_number_of_a_mapping_that_stays_is_a_failure() -> None:
    live = observed(*TEN, state=State(boot="boot-1", plan=planned(*TEN)))
    taker = mapping(61000, pod=ref("new"), pod_ip="10.244.3.99")
    new = pod("new", ["10.244.3.99"], labels={"app": "new"})
    found = decided(*TEN_PODS, new, service(selector={"app": "new"}), on=live, plan=planned(taker))
    assert found.blocked is None, "the Service is there and selects other Pods now"
    found = decided(*TEN_PODS, new, service("new", selector={"app": "new"}), on=live, plan=planned(taker))
    assert found.blocked
    assert [f.step for f in found.failures] == ["number"]
    assert set(found.eligible) == set(TEN)


def test_an_emptied_plan_is_doubted_while_a_service_asks() -> None:
    live = observed(*TEN, state=State(boot="boot-1", plan=planned(*TEN)))
    found = decided(*TEN_PODS, service(), on=live, plan=planned())
    assert found.blocked
    assert set(found.eligible) == set(TEN)
    assert decided(*TEN_PODS, service(enabled=False), on=live, plan=planned()).blocked is None
    assert trust(planned(), live, SETTINGS).blocked


def test_a_removal_is_not_doubted_if_the_service_no_longer_asks() -> None:
    live = observed(*TEN, state=State(boot="boot-1", plan=planned(*TEN)))
    for there in (service(enabled=False), service(selector={"app": "none"}), service(ports=[(1, "TCP")])):
        found = decided(*TEN_PODS, there, on=live)
        assert found.blocked is None
        assert len(found.removals) == 10


def test_a_pod_that_ended_is_gone_though_the_snapshot_still_has_it() -> None:
    found = decided(*(replace(p, phase="Succeeded") for p in TEN_PODS), service(), on=observed(*TEN))
    assert len(found.diff.changes) == 10
    assert found.blocked is None


def test_an_empty_snapshot_removes_nothing_at_first_and_is_remembered() -> None:
    found = decided(on=observed(*TEN))
    assert found.blocked
    assert found.blocked.kind == "empty"
    assert (found.diff.changes, found.eligible) == ((), found.live)
    assert found.next_state.empty_seen
    assert found.next_state.plan
    assert found.next_state.plan.mappings == found.live
