"""The effects of one run on cluster and node, and their order."""

import json
from dataclasses import replace
from typing import Any

import pytest
from inmemory import SETTINGS, World, many
from seams import EMPTY
from worlds import cluster, node, pod, ref, service

from nplconf.errors import BadDataError, UnavailableError
from nplconf.model import ClusterState, Failure, PortRange
from nplconf.plan.state import State
from nplconf.rules import Goal, Synced
from nplconf.rules.foreign import ForeignRule
from nplconf.run.cleanup import clean
from nplconf.run.decision import Bounds
from nplconf.run.reconcile import heal_to_last, show

TWO_PORTS = (service("s1", ((9090, "TCP"),)), service("s2", ((9000, "TCP"),)))


def test_a_partial_removal_leaves_exactly_the_other_mapping() -> None:
    world = World(pod(), *TWO_PORTS)
    world.apply()
    (gone, _), (kept, number) = world.entries()
    assert (gone, kept) == (9000, 9090)
    world.change(services=TWO_PORTS[:1])
    result = world.apply()
    assert world.entries() == [(9090, number)]
    assert world.node.numbers() == [number]
    assert [c.action for c in result.done] == ["delete"]
    assert world.apply().done == ()
    assert world.journal == []


def test_a_removal_is_withdrawn_before_its_rule_goes() -> None:
    world = World(pod(), *TWO_PORTS)
    world.apply()
    world.change(services=TWO_PORTS[:1])
    world.apply()
    kinds = [line.split()[0] for line in world.journal]
    assert kinds == ["save", "patch", "write", "forget", "save"]


def test_an_addition_is_published_after_its_rule_was_seen() -> None:
    world = World(pod(), service())
    world.apply()
    kinds = [line.split()[0] for line in world.journal]
    assert kinds == ["save", "write", "write", "forget", "patch", "save"]


def test_what_an_api_server_got_as_events_is_kept_and_a_file_has_none() -> None:
    world = World(pod(), service())
    world.apply()
    assert world.cluster.events == []
    world.change(served=True)
    world.apply()
    assert [event.reason for event in world.cluster.events] == ["NodePortMapped"]
    assert world.journal == ["save"]
    world.apply()
    assert world.journal == []


def test_the_state_with_the_owner_of_a_freed_number_is_saved_before_its_rule_goes() -> None:
    world = World(pod(), *TWO_PORTS)
    world.apply()
    number = dict(world.entries())[9000]
    saved: list[State] = []
    world.node.before_write = lambda: saved.append(world.node.state)
    world.change(services=TWO_PORTS[:1])
    world.apply()
    assert [(c.number, c.owner.port) for c in saved[0].cooling] == [(number, 9000)]
    assert saved[0].writing
    assert not world.node.state.writing


def test_a_pod_with_another_address_keeps_its_number_and_its_annotation_is_not_written() -> None:
    world = World(pod(), service())
    world.apply()
    before = world.entries()
    world.pods(replace(world.cluster.state.pods[0], ips=("10.244.3.99",)))
    result = world.apply()
    assert world.entries() == before
    assert [c.reason for c in result.done] == ["pod-ip-changed"]
    assert not any(line.startswith("patch") for line in world.journal)


def test_a_refused_mapping_does_not_stop_others_from_being_published() -> None:
    world = World(*many(3), service())
    world.apply()
    number = world.entries("web-1")[0][1]
    fresh = World(*many(3), service())
    fresh.node.refused = {number}
    result = fresh.apply()
    assert result.exit_code == 5
    assert [f.subject for f in result.failures] == [f"tcp/{number} shop/web-1:8080"]
    assert fresh.cluster.annotation("web-1") is None
    assert fresh.entries("web-0")
    assert fresh.entries("web-2")


def test_a_refused_withdrawal_is_a_failure_and_does_not_keep_the_rule() -> None:
    world = World(pod(), *TWO_PORTS)
    world.apply()
    world.change(services=TWO_PORTS[:1])
    world.cluster.refuses = {"web-0"}
    result = world.apply()
    assert len(world.node.numbers()) == 1
    assert result.exit_code == 5
    world.cluster.refuses = set()
    assert world.apply().exit_code == 0
    assert len(world.entries()) == 1


def test_a_family_that_cannot_be_read_fails_by_name_and_the_other_is_served() -> None:
    world = World(pod(ips=("10.244.3.17", "fd00:244::17")), service(families=("IPv4", "IPv6")), broken={"IPv6"})
    result = world.apply()
    assert result.exit_code == 5
    assert [f.message for f in result.failures] == ["IPv6 is broken"]
    assert result.failures[0].subject.startswith("tcp6/")
    assert len(world.entries()) == 1


def test_what_was_published_of_a_family_that_cannot_be_read_stays_published() -> None:
    world = World(pod(ips=("10.244.3.17", "fd00:244::17")), service(families=("IPv4", "IPv6")))
    world.apply()
    before = world.entries()
    world.node.broken = {"IPv6"}
    assert world.apply().exit_code == 5
    assert world.entries() == before


def test_a_node_without_ip6tables_and_without_ipv6_mappings_is_fine() -> None:
    world = World(pod(), service(), broken={"IPv6"})
    assert world.apply().exit_code == 0


def test_a_node_without_any_iptables_can_do_nothing() -> None:
    world = World(pod(), service(), broken={"IPv4", "IPv6"})
    with pytest.raises(UnavailableError):
        world.apply()


def test_a_mapping_whose_packets_a_foreign_rule_takes_is_withdrawn_alone_and_comes_back() -> None:
    world = World(pod(), *TWO_PORTS)
    world.apply()
    (_, taken), (kept, number) = world.entries()
    world.node.first = (ForeignRule("IPv4", "tcp", taken, taken, "iptables-nft DOCKER", "-j DNAT"),)

    result = world.apply()

    assert world.entries() == [(kept, number)]
    assert sorted(world.node.numbers()) == sorted((taken, number))
    assert result.exit_code == 5
    assert [f.message for f in result.failures] == [
        "a foreign rule takes the packets first (iptables-nft DOCKER: -j DNAT)"
    ]
    assert [f.kind for f in result.decision.findings] == ["foreign"]
    assert world.apply().patches == ()

    world.node.first = ()
    assert world.apply().exit_code == 0
    assert len(world.entries()) == 2


def test_a_stolen_number_is_never_translated_and_its_mapping_moves() -> None:
    world = World(pod(), service())
    world.apply()
    number = world.entries()[0][1]
    world.node.taken = {number}
    result = world.apply()
    assert [c.reason for c in result.done] == ["number-moved"]
    assert number not in world.node.numbers()
    assert world.entries()[0][1] != number


def test_without_the_daemon_rules_stay_and_follow_and_nothing_new_is_let_in() -> None:
    world = World(pod(), service())
    world.apply()
    world.node.held = None
    world.pods(replace(world.cluster.state.pods[0], ips=("10.244.3.99",)), pod("new", ("10.244.3.50",)))
    result = world.apply()
    assert result.exit_code == 5
    assert [c.reason for c in result.done] == ["pod-ip-changed"]
    assert [f.step for f in result.failures] == ["hold"]
    assert world.cluster.annotation("new") is None


def test_without_the_daemon_on_a_new_node_nothing_can_be_done() -> None:
    world = World(pod(), service(), held=None)
    assert world.apply().exit_code == 69
    assert world.node.numbers() == []


def test_a_taken_number_is_a_failure_of_its_mapping_though_there_is_no_other() -> None:
    world = World(pod(), service())
    reviewed = world.apply().decision.plan
    world = World(pod(), service())
    world.node.taken = {reviewed.mappings[0].node_port}
    result = world.apply(bounds=Bounds(reviewed))
    assert [failure.step for failure in result.failures] == ["hold"]
    assert result.exit_code == 5


def test_a_mapping_that_the_kernel_refuses_is_a_failure_of_its_own_though_there_is_no_other() -> None:
    world = World(pod(), service())
    world.node.refused = set(range(61000, 62001))
    result = world.apply()
    assert [failure.step for failure in result.failures] == ["rule"]
    assert result.exit_code == 5


def test_a_freed_number_cools_and_its_owner_gets_it_back() -> None:
    world = World(pod(), service())
    world.apply()
    number = world.entries()[0][1]
    world.pods()
    world.apply()
    assert [c.number for c in world.node.state.cooling] == [number]
    world.node.clock += 10_000
    world.pods(pod(uid="another"))
    world.apply()
    assert world.entries() == [(8080, number)]


def test_a_number_that_cools_is_not_given_to_another_pod() -> None:
    small = replace(SETTINGS, port_range=replace(SETTINGS.port_range, first=61000, last=61001))
    world = World(pod(), service(), held=small.port_range)
    world.apply(small)
    number = world.entries()[0][1]
    world.pods(pod("other", ("10.244.3.20",)))
    world.apply(small)
    assert world.entries("other")[0][1] != number


def test_a_freed_number_never_goes_to_another_namespace_though_the_range_is_full() -> None:
    small = replace(SETTINGS, port_range=PortRange(61000, 61001), namespace_share=100)
    world = World(pod(), pod("neighbour", ("10.244.3.18",)), service(), held=small.port_range)
    world.apply(small)
    freed = world.entries()[0][1]
    attacker = (pod("attacker", ("10.244.3.20",), namespace="evil"), service(namespace="evil"))
    world.cluster.state = cluster(node(), pod("neighbour", ("10.244.3.18",)), service(), *attacker)
    for _ in range(3):
        result = world.apply(small)
        assert [(row.pod, row.reason) for row in result.decision.plan.skipped] == [("evil/attacker", "range-full")]
        assert freed not in [m.node_port for m in result.in_place]
    world.node.clock += 10_000
    assert freed in [m.node_port for m in world.apply(small).in_place]


def test_a_lost_state_file_moves_no_number_though_owner_tags_are_hashed() -> None:
    named = "x" * 250
    hint = json.dumps([{"podPort": 8080, "nodePort": 61900}])
    others = pod("y" * 250, ("10.244.3.18",), uid="other")
    world = World(pod(named, uid="one", annotation=hint), others, service())
    world.apply()
    before = world.entries(named)
    assert before == [(8080, 61900)]
    world.node.state = State()
    world.pods(*(replace(p, annotation=None) for p in world.cluster.state.pods))
    result = world.apply()
    assert result.done == ()
    assert world.entries(named) == before


def test_a_lost_state_file_moves_no_number() -> None:
    world = World(*many(5), service())
    world.apply()
    before = {name: world.entries(name) for name in ("web-0", "web-3")}
    world.node.state = State()
    result = world.apply()
    assert result.done == ()
    assert before == {name: world.entries(name) for name in ("web-0", "web-3")}


def test_an_interrupted_run_is_followed_by_one_that_flushes_every_stale_flow() -> None:
    world = World(pod(), service())
    world.apply()
    world.node.state = replace(world.node.state, writing=True)
    world.apply()
    assert "forget everything" in world.journal
    assert not world.node.state.writing


def test_without_the_api_the_node_is_healed_to_the_last_good_plan_of_this_boot() -> None:
    world = World(pod(), service())
    world.apply()
    numbers = world.node.numbers()
    world.node.tables["IPv4"] = EMPTY
    world.cluster.error = UnavailableError("API server: connection refused")
    result = world.apply()
    assert result.exit_code == 5
    assert world.node.numbers() == numbers
    assert not any(line.startswith("patch") for line in world.journal)


def test_without_the_api_after_a_reboot_no_rule_is_made() -> None:
    world = World(pod(), service())
    world.apply()
    world.node.tables["IPv4"] = EMPTY
    world.node.boot = "boot-2"
    world.cluster.error = UnavailableError("API server: connection refused")
    with pytest.raises(UnavailableError):
        world.apply()
    assert world.node.numbers() == []


def test_rules_of_another_boot_are_removed_where_no_snapshot_confirms_them() -> None:
    world = World(*many(12), service())
    world.apply()
    state = world.node.state
    world.node.boot = "boot-2"
    world.cluster.error = UnavailableError("API server: connection refused")
    result = world.apply()
    assert {(c.action, c.reason) for c in result.done} == {("delete", "other-boot")}
    assert (result.exit_code, world.node.numbers()) == (5, [])
    assert "before the reboot" in result.degraded[0]
    assert world.node.state.plan == state.plan, "the numbers of before are not lost"
    with pytest.raises(UnavailableError):
        world.apply()


def test_rules_that_may_be_of_this_boot_stay_where_no_snapshot_confirms_them() -> None:
    world = World(pod(), service())
    world.apply()
    world.node.state = State()
    world.cluster.error = UnavailableError("API server: connection refused")
    with pytest.raises(UnavailableError):
        world.apply()
    assert len(world.node.numbers()) == 1


def test_a_pod_whose_containers_have_ended_owns_no_address() -> None:
    old = pod("old", terminating=True, containers_ended=True)
    world = World(old, pod("new"), service())
    world.apply()
    assert world.entries("new")
    assert world.cluster.annotation("old") is None
    assert len(world.node.numbers()) == 1


@pytest.mark.parametrize("error", ["the kernel says no", ""])
def test_a_removal_that_failed_is_named_with_pod_port_and_protocol(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(pod(), pod("web-1", ("10.244.3.18",)), service())
    world.apply()
    number = world.entries("web-1")[0][1]
    world.pods(world.cluster.state.pods[0])

    def refuse(goal: Goal[Any]) -> Synced[Any]:
        return Synced(goal.have, errors=(("IPv4", error),) if error else ())

    monkeypatch.setattr(world.node, "sync", refuse)
    result = world.apply()
    assert [(f.step, f.subject, f.message) for f in result.failures] == [
        ("rule", f"tcp/{number} shop/web-1:8080", error or "the rule is still there")
    ]
    assert (result.exit_code, result.done) == (5, ())


def test_a_node_without_addresses_keeps_its_mappings_and_the_run_reports_it() -> None:
    world = World(pod(), service())
    world.apply()
    before = world.entries()
    full = world.cluster.state.nodes
    world.change(nodes=(replace(full[0], addresses=()),))
    result = world.apply()
    assert (result.exit_code, world.entries(), len(world.node.numbers())) == (5, before, 1)
    assert "has no addresses" in result.degraded[0]
    world.change(nodes=full)
    assert world.apply().exit_code == 0


def test_a_denied_patch_makes_its_rules_once_and_again_after_ten_minutes_or_a_change() -> None:
    world = World(*many(2), service())
    world.cluster.denies = {"web-1"}
    result = world.apply()
    assert (result.exit_code, len(world.node.numbers())) == (5, 1)
    assert "write IPv4" in world.journal
    for _ in range(3):
        world.node.clock += 100
        result = world.apply()
        assert (result.exit_code, result.done, world.journal) == (5, (), [])
        assert [failure.subject for failure in result.failures] == ["shop/web-1"]
    world.node.clock += 400
    world.apply()
    assert world.journal.count("write IPv4") == 2, "made, and removed again"
    world.change(services=(service(ports=((8080, "TCP"), (9090, "TCP"))),))
    world.apply()
    assert sum(line.startswith("patch web-1") for line in world.journal) == 1
    world.cluster.denies = set()
    world.pods(*(replace(p, labels={**p.labels, "allowed": "yes"}) for p in world.cluster.state.pods))
    assert world.apply().exit_code == 0
    assert len(world.entries("web-1")) == 2
    assert world.node.state.denials == {}


def test_what_cannot_be_removed_as_its_family_cannot_be_read_is_a_failure_until_it_is() -> None:
    both = pod(ips=("10.244.3.17", "fd00:244::17"))
    world = World(both, service(families=("IPv4", "IPv6")))
    world.apply()
    (number,) = world.node.numbers("IPv6")
    world.node.broken = {"IPv6"}
    world.pods(pod("web-9", ("10.244.3.9",)))

    for changed in (2, 0):  # web-9's comes, web-0's goes
        result = world.apply()
        assert (result.exit_code, len(result.done)) == (5, changed)
        assert [(f.subject, f.message) for f in result.failures] == [
            (f"tcp6/{number} shop/web-0:8080", "IPv6 is broken")
        ]
    assert world.node.numbers("IPv6") == [number]

    world.node.broken = set()
    assert [change.mapping.family for change in world.apply().done] == ["IPv6"]
    assert world.node.numbers("IPv6") == []
    assert world.apply().exit_code == 0


def test_a_broken_cluster_file_changes_nothing() -> None:
    world = World(pod(), service())
    world.apply()
    world.node.tables["IPv4"] = EMPTY
    world.cluster.error = BadDataError("cluster.yaml: no objects")
    with pytest.raises(BadDataError):
        world.apply()
    assert world.journal == []


def test_healing_without_a_last_plan_is_impossible() -> None:
    assert heal_to_last(World().node, SETTINGS, "because") is None


def test_a_mass_removal_without_the_service_that_asked_is_blocked() -> None:
    world = World(*many(12), service())
    world.apply()
    numbers = world.node.numbers()
    world.change(services=())
    for _ in range(2):
        result = world.apply()
        assert result.exit_code == 4
        assert result.done == ()
        assert world.node.numbers() == numbers
        assert world.entries("web-3")
    assert world.journal == [], "a second run finds nothing to do"


def test_a_user_who_switches_a_service_off_blocks_no_run() -> None:
    world = World(*many(12), service())
    world.apply()
    world.change(services=(service(enabled=False),))
    assert world.apply().exit_code == 0
    assert world.node.numbers() == []


def test_a_blocked_run_serves_everybody_else() -> None:
    others = [pod(f"db-{i}", (f"10.244.4.{i + 1}",), labels={"app": "db"}) for i in range(2)]
    world = World(*many(12), *others, service(), service("db", selector={"app": "db"}))
    world.apply()
    moved = replace(world.cluster.state.pods[12], ips=("10.244.4.77",))
    new = pod("db-9", ("10.244.4.9",), labels={"app": "db"})
    world.change(pods=(*world.cluster.state.pods[2:12], moved, new), services=(service("db", selector={"app": "db"}),))
    result = world.apply()
    assert result.exit_code == 4
    assert sorted((c.action, c.reason, c.mapping.pod.name) for c in result.done) == [
        ("add", "new", "db-9"),
        ("change", "pod-ip-changed", "db-0"),
        ("delete", "pod-gone", "db-1"),
        ("delete", "pod-gone", "web-0"),
        ("delete", "pod-gone", "web-1"),
    ]
    assert len(world.node.numbers()) == 12
    assert world.entries("db-9")
    assert result.failures == ()


def test_the_chains_of_a_blocked_run_are_repaired() -> None:
    world = World(*many(12), service())
    world.apply()
    tables = dict(world.node.tables)
    broken = replace(tables["IPv4"], bases={**tables["IPv4"].bases, "PREROUTING": EMPTY.bases["PREROUTING"]})
    world.node.tables["IPv4"] = broken
    world.change(services=())
    assert world.apply().exit_code == 4
    assert world.node.tables == tables


def test_pods_that_are_gone_are_never_kept_however_many() -> None:
    world = World(*many(12), service())
    world.apply()
    world.pods(*world.cluster.state.pods[:1])
    assert world.apply().exit_code == 0
    assert len(world.node.numbers()) == 1


def test_an_empty_node_is_accepted_when_it_is_seen_twice_in_a_row() -> None:
    world = World(*many(12), service())
    world.apply()
    kept = world.cluster.state.pods
    world.pods()
    assert world.apply().exit_code == 4
    world.pods(*kept)
    assert world.apply().exit_code == 0
    world.pods()
    assert world.apply().exit_code == 4
    assert len(world.node.numbers()) == 12
    assert world.apply().exit_code == 0
    assert world.node.numbers() == []


def test_an_empty_node_is_accepted_at_once_with_allow_empty() -> None:
    world = World(*many(12), service())
    world.apply()
    world.pods()
    assert world.apply(replace(SETTINGS, allow_empty=True)).exit_code == 0
    assert world.node.numbers() == []


def test_a_snapshot_without_this_node_is_never_accepted() -> None:
    world = World(pod(), service())
    world.change(nodes=())
    with pytest.raises(BadDataError):
        world.apply()


def test_a_state_file_that_cannot_be_written_is_reported_and_the_node_is_served() -> None:
    world = World(pod(), service(), unwritable=True)
    result = world.apply()
    assert result.exit_code == 5
    assert "No space left on device" in result.degraded[0]
    assert len(world.entries()) == 1


def test_leftovers_in_the_other_backend_are_removed_and_reported() -> None:
    world = World(pod(), service())
    world.node.other = {"IPv4": EMPTY}
    result = world.apply()
    assert world.node.other == {}
    assert any("legacy" in warning for warning in result.warnings)


def test_leftovers_go_although_the_flow_table_cannot_be_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(pod(), service())
    world.node.other = {"IPv4": EMPTY}
    stale = Failure("conntrack", "IPv4", "UDP and SCTP flows may go on")
    monkeypatch.setattr(world.node, "flush_flows", lambda *_, **__: (stale,))
    result = world.apply()
    assert (result.failures, world.node.other) == ((stale,), {})


def test_leftovers_stay_in_a_family_that_cannot_be_read() -> None:
    world = World(pod(), service(), broken={"IPv4"})
    world.node.other = {"IPv4": EMPTY, "IPv6": EMPTY}
    result = world.apply()
    assert world.node.other == {"IPv4": EMPTY}
    assert [warning for warning in result.warnings if "IPv4" in warning] == []


def test_an_unrequested_annotation_is_removed() -> None:
    forged = pod("forger", ("10.244.3.66",), labels={}, annotation='[{"podPort":1,"nodeIP":"1.1.1.1","nodePort":2}]')
    world = World(forged, service())
    world.apply()
    assert world.cluster.annotation("forger") == "[]"


def test_cleanup_takes_rules_and_annotations_and_remembers_who_had_what() -> None:
    world = World(pod(), service())
    world.apply()
    number = world.entries()[0][1]
    assert clean(world.node, world.cluster, SETTINGS) == ()
    assert world.node.tables["IPv4"].empty
    assert world.cluster.annotation() == "[]"
    assert world.node.state.plan is None
    assert clean(world.node, world.cluster, SETTINGS) == ()
    world.apply()
    assert world.entries() == [(8080, number)]


def test_cleanup_removes_the_key_where_that_is_asked_for() -> None:
    world = World(pod(), service())
    world.apply()
    assert clean(world.node, world.cluster, replace(SETTINGS, withdraw_as="remove")) == ()
    assert world.cluster.annotation() is None


def test_cleanup_cleans_the_node_when_the_cluster_fails_half_way() -> None:
    world = World(pod(), service())
    world.apply()
    world.cluster.error = UnavailableError("gone")
    (failure,) = clean(world.node, world.cluster, SETTINGS)
    assert failure.subject == "the annotations of this node's Pods"
    assert world.node.tables["IPv4"].empty


def test_show_prints_what_the_kernel_has() -> None:
    world = World(pod(), service())
    world.apply()
    (shown,), _, warnings = show(world.node, SETTINGS)
    assert (shown.pod, shown.pod_port, shown.services) == (ref(), 8080, ("shop/web",))
    assert warnings == ()


def test_the_order_of_the_snapshot_makes_no_difference() -> None:
    objects = [*many(8), *TWO_PORTS]
    first = World(*objects)
    second = World(*reversed(objects))
    first.apply()
    second.apply()
    assert first.node.tables == second.node.tables
    assert isinstance(first.cluster.state, ClusterState)
