"""The removals that a limit blocks."""

from dataclasses import replace

import pytest
from worlds import mapping, plan, ref

from nplconf.model import Change, PortMapping
from nplconf.plan import limits
from nplconf.plan.limits import Blocked, Evidence


def rows(count: int) -> list[PortMapping]:
    return [mapping(61000 + i, pod=ref(f"p{i}"), pod_ip=f"10.0.0.{i}") for i in range(count)]


def running(live: list[PortMapping]) -> set[tuple[str, str]]:
    return {(m.pod.key, m.pod_ip) for m in live}


def limit(live: list[PortMapping], removed: int, *, percent: int = 50, **evidence: object) -> Blocked | None:
    """By default all Pods run, and no Service is in the snapshot."""
    known = Evidence(**({"running": running(live), "services": set()} | evidence))  # type: ignore[arg-type]
    changes = [Change("delete", "not-selected", m, m) for m in live[:removed]]
    return limits.limit(live, changes, known, max_delete=percent)


@pytest.mark.parametrize(
    ("count", "removed", "stopped"), [(10, 6, True), (10, 5, False), (9, 9, False), (200, 101, True), (200, 100, False)]
)
def test_more_than_half_is_blocked_from_ten_mappings_on(count: int, removed: int, *, stopped: bool) -> None:
    assert bool(limit(rows(count), removed)) is stopped


def test_what_a_service_of_the_snapshot_does_not_ask_for_any_more_is_removed_however_much_it_is() -> None:
    assert limit(rows(20), 20, services={"shop/web"}) is None


def test_a_mapping_of_two_services_is_doubted_when_one_of_them_is_missing() -> None:
    live = [m._replace(services=("shop/other", "shop/web")) for m in rows(20)]
    assert limit(live, 20, services={"shop/web"})
    assert limit(live, 20, services={"shop/web", "shop/other"}) is None


def test_the_removal_of_a_mapping_with_an_unknown_service_is_doubted() -> None:
    assert limit([m._replace(services=()) for m in rows(20)], 20, services={"shop/web"})


def test_what_a_service_asks_for_and_the_plan_does_not_have_is_doubted() -> None:
    live = rows(20)
    asked = {(m.owner, m.protocol) for m in live}
    assert limit(live, 20, services={"shop/web"}, not_reviewed=asked)


def test_without_a_cluster_every_removal_is_doubted() -> None:
    assert limit(rows(20), 20, running=None, services=None)


def test_only_the_doubted_removals_are_counted_and_blocked() -> None:
    live = [m._replace(services=("shop/there",)) if i % 2 else m for i, m in enumerate(rows(20))]
    assert limit(live, 20, services={"shop/there"}) is None
    found = limit(live, 20, services={"shop/there"}, percent=49)
    assert found
    assert found.mappings == tuple(live[::2])
    assert "10 of 20" in found.message


def test_the_mappings_of_pods_that_are_gone_are_never_blocked() -> None:
    live = rows(20)
    assert limit(live, 18, running=running(live[18:])) is None
    found = limit(live, 14, running=running(live[10:]), percent=30)
    assert found
    assert "4 of 10" in found.message
    assert found.mappings == tuple(live[10:14])


def test_a_hundred_percent_never_blocks_and_zero_always_does() -> None:
    assert limit(rows(10), 10, percent=100) is None
    assert limit(rows(10), 1, percent=0)


def test_a_snapshot_without_any_pod_is_doubted_until_it_is_accepted() -> None:
    found = limit(rows(10), 10, running=(), any_pod=False)
    assert found
    assert found.kind == "empty"
    assert len(found.removals) == 10
    assert "10 live mappings" in found.message
    assert "--allow-empty" in found.message
    assert limit(rows(10), 10, running=(), any_pod=False, accept_empty=True) is None


def test_host_ports_do_not_count_for_the_limit() -> None:
    advertised = [mapping(61000 + i, via="hostPort") for i in range(20)]
    assert limit(advertised, 20) is None


@pytest.mark.parametrize(("kind", "whole"), [("empty", False), ("max-delete", False), ("cluster", True)])
def test_a_doubted_removal_blocks_a_part_and_another_cluster_the_whole_run(kind: str, *, whole: bool) -> None:
    assert Blocked(kind, "").whole_run is whole  # type: ignore[arg-type]


# --- mappings that stay ----------------------------------------------------------------------------------------------


def test_a_number_that_stays_is_reserved_unless_its_own_pod_port_has_it() -> None:
    stay = [mapping(61000, "udp"), mapping(61001, pod=ref("p1"))]
    assert limits.reserved(stay, plan(mapping(61000))) == {61001}


def test_a_mapping_that_stays_is_a_row_and_its_port_is_given_to_no_other() -> None:
    stay, other = [mapping(61005, pod=ref("p1"))], mapping(61001, pod=ref("p2"))
    taker = mapping(61005, "udp", pod=ref("p3"))
    found, (failure,) = limits.beside((other, taker, mapping(61009)), stay)
    assert [m.node_port for m in found] == [61001, 61005, 61009]
    assert failure.subject == taker.subject
    assert "61005 is still in use by shop/p1:8080" in failure.message
    assert failure.refused


def test_both_protocols_of_a_pod_port_share_the_number_that_stays() -> None:
    found, failures = limits.beside((mapping(61005, "udp"),), [mapping(61005)])
    assert ([m.protocol for m in found], failures) == (["tcp", "udp"], ())
    assert replace(plan(), mappings=found)
