"""Damage by other programs is repaired, counted as a change, and named."""

from dataclasses import replace

import pytest
from inmemory import SETTINGS, World, many
from seams import EMPTY
from worlds import pod, service

from nplconf.errors import UnavailableError
from nplconf.model import Failure, Patch
from nplconf.rules.iptables.rule import Rule
from nplconf.run.outcome import Result
from nplconf.run.reconcile import review

BOTH = ("IPv4", "IPv6")


def repaired(result: Result) -> list[tuple[str, str]]:
    return [(c.reason, c.mapping.pod.name) for c in result.done if c.action == "repair"]


def synced() -> World:
    world = World(*many(3), service())
    world.apply()
    assert world.apply().done == ()
    return world


def without(world: World, chain: str) -> None:
    """Flush one chain."""
    table = world.node.tables["IPv4"]
    assert chain in table.chains
    world.node.tables["IPv4"] = replace(table, chains={**table.chains, chain: ()})


def redirect(world: World, to: str) -> None:
    """Change the target of one DNAT rule."""
    table = world.node.tables["IPv4"]
    chains = dict(table.chains)
    for name, rules in chains.items():
        found = [r for r in rules if isinstance(r, Rule) and r.target == "DNAT"]
        if found:
            chains[name] = tuple(r._replace(to=to) if r is found[0] else r for r in rules)
            break
    world.node.tables["IPv4"] = replace(table, chains=chains)


def test_flushed_rules_are_repaired_and_nothing_is_new() -> None:
    world = synced()
    tables = dict(world.node.tables)
    world.node.tables["IPv4"] = EMPTY
    result = world.apply()
    assert sorted(repaired(result)) == [("rule-missing", f"web-{i}") for i in range(3)]
    assert (result.exit_code, len(result.done)) == (0, 3)
    assert world.node.tables == tables
    assert world.apply().done == ()


def test_rules_that_are_in_another_backend_move_and_are_no_repair() -> None:
    world = synced()
    world.node.tables, world.node.other = dict.fromkeys(world.node.tables, EMPTY), dict(world.node.tables)
    result = world.apply()
    assert {(c.action, c.reason) for c in result.done} == {("add", "backend-changed")}
    assert len(result.done) == 3
    assert world.node.other == {}


def test_a_flushed_dispatch_chain_is_a_repair_of_every_mapping_behind_it() -> None:
    world = synced()
    without(world, "NPLCONF-TCP")
    result = world.apply()
    assert {reason for reason, _ in repaired(result)} == {"dispatch-changed"}
    assert len(repaired(result)) == len(result.done) == 3
    assert result.decision.diff.unchanged == ()
    assert world.apply().done == ()


def test_a_jump_that_is_gone_is_a_repair_of_every_mapping() -> None:
    world = synced()
    table = world.node.tables["IPv4"]
    world.node.tables["IPv4"] = replace(table, bases={**table.bases, "PREROUTING": EMPTY.bases["PREROUTING"]})
    assert {reason for reason, _ in repaired(world.apply())} == {"jump-changed"}


def test_a_rule_that_leads_elsewhere_is_repaired_and_a_pod_that_moved_is_a_change() -> None:
    world = synced()
    redirect(world, "10.9.9.9:80")
    assert [reason for reason, _ in repaired(world.apply())] == ["rule-changed"]
    world.pods(*(replace(p, ips=("10.244.3.77",)) if i == 0 else p for i, p in enumerate(world.cluster.state.pods)))
    result = world.apply()
    assert [(c.action, c.reason) for c in result.done] == [("change", "pod-ip-changed")]


@pytest.mark.parametrize("text", [None, "[]", '[{"podPort":8080,"nodeIP":"6.6.6.6","nodePort":61001}]'])
def test_an_annotation_that_another_program_changed_is_repaired(text: str | None) -> None:
    world = synced()
    world.pods(*(replace(p, annotation=text) if p.ref.name == "web-1" else p for p in world.cluster.state.pods))
    result = world.apply()
    assert repaired(result) == [("annotation-changed", "web-1")]
    assert world.entries("web-1")
    assert world.apply().done == ()


def test_an_annotation_that_cannot_be_written_is_no_repair_that_was_done() -> None:
    world = synced()
    world.pods(*(replace(p, annotation="[]") if p.ref.name == "web-1" else p for p in world.cluster.state.pods))
    world.cluster.refuses = {"web-1"}
    result = world.apply()
    assert (result.exit_code, result.done) == (5, ())


def test_an_annotation_that_could_not_be_written_is_not_counted_as_a_foreign_change() -> None:
    world = World(*many(3), service())
    world.cluster.refuses = {"web-1"}
    assert world.apply().exit_code == 5
    world.cluster.refuses = set()
    assert world.apply().done == ()
    assert world.entries("web-1")


def test_a_cluster_that_is_only_read_has_no_annotation_to_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(*many(3), service())
    world.cluster.writable = False

    def report(patches: tuple[Patch, ...]) -> tuple[Failure, ...]:
        assert patches
        return ()

    monkeypatch.setattr(world.cluster, "patch", report)
    for done in (3, 0, 0):
        assert len(world.apply().done) == done


@pytest.mark.parametrize("text", [None, "[]"])
def test_an_annotation_that_is_only_reported_is_no_repair_after_runs_that_wrote_it(text: str | None) -> None:
    world = synced()
    world.cluster.writable = False
    world.pods(*(replace(p, annotation=text) for p in world.cluster.state.pods))
    seen = review(world.cluster, world.node, SETTINGS)
    assert (len(seen.decision.patches), seen.decision.diff.changes) == (3, ())
    result = world.apply()
    assert (len(result.patches), result.done) == (3, ())


def test_a_mapping_that_failed_before_is_new_and_no_repair() -> None:
    world = World(*many(3), service())
    world.node.refused = set(range(61000, 62001))
    assert world.apply().exit_code == 5
    world.node.refused = set()
    assert {(c.action, c.reason) for c in world.apply().done} == {("add", "new")}


def test_what_a_killed_run_left_undone_is_no_repair() -> None:
    world = synced()
    world.node.tables["IPv4"] = EMPTY
    world.node.state = replace(world.node.state, writing=True)
    assert {(c.action, c.reason) for c in world.apply().done} == {("add", "new")}


def test_after_a_reboot_every_rule_is_new() -> None:
    world = synced()
    world.node.tables["IPv4"] = EMPTY
    world.node.boot = "boot-2"
    assert {(c.action, c.reason) for c in world.apply().done} == {("add", "new")}


def test_another_address_of_the_node_is_no_damage() -> None:
    world = synced()
    node = world.cluster.state.nodes[0]
    world.change(nodes=(replace(node, addresses=(("InternalIP", "10.0.0.99"),)),))
    result = world.apply()
    assert repaired(result) == []
    assert result.exit_code == 0


def test_without_the_api_a_flushed_node_is_repaired() -> None:
    world = synced()
    world.node.tables["IPv4"] = EMPTY
    world.cluster.error = UnavailableError("API server: connection refused")
    result = world.apply()
    assert len(repaired(result)) == 3
    assert world.entries("web-0")


def test_one_flushed_family_does_not_touch_the_other() -> None:
    world = World(pod(ips=("10.244.3.17", "fd00:244::17")), service(families=BOTH))
    world.apply()
    world.node.tables["IPv6"] = EMPTY
    result = world.apply()
    assert [(c.action, c.mapping.family) for c in result.done] == [("repair", "IPv6")]
