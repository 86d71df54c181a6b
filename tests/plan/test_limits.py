"""What may not happen at once."""

import pytest
from worlds import mapping, ref

from nplconf.model import PortMapping
from nplconf.plan.limits import Blocked, blocked


def rows(count: int) -> list[PortMapping]:
    return [mapping(61000 + i, pod=ref(f"p{i}"), pod_ip=f"10.0.0.{i}") for i in range(count)]


def limit(
    live: list[PortMapping],
    removed: int,
    *,
    gone: int = 0,
    percent: int = 50,
    believe: bool = False,
    any_pod: bool = True,
) -> Blocked | None:
    """gone: of the first ones, the Pods are gone."""
    running = frozenset((m.pod.key, m.pod_ip) for m in live[gone:])
    return blocked(live, live[:removed], running, max_delete=percent, believe_empty=believe, any_pod=any_pod)


@pytest.mark.parametrize(
    ("count", "removed", "stopped"), [(10, 6, True), (10, 5, False), (9, 9, False), (200, 101, True), (200, 100, False)]
)
def test_more_than_half_is_stopped_from_ten_mappings_on(count: int, removed: int, *, stopped: bool) -> None:
    assert bool(limit(rows(count), removed)) is stopped


def test_the_mappings_of_pods_that_are_gone_do_not_count() -> None:
    assert limit(rows(20), 18, gone=18) is None


def test_the_share_is_of_those_whose_pods_still_run() -> None:
    found = limit(rows(20), 14, gone=10, percent=30)
    assert found
    assert "4 of 10" in found.message


def test_a_hundred_percent_never_stops_and_zero_always_does() -> None:
    assert limit(rows(10), 10, percent=100) is None
    assert limit(rows(10), 1, percent=0)


def test_a_snapshot_without_any_pod_is_doubted_until_it_is_believed() -> None:
    found = limit(rows(10), 10, gone=10, any_pod=False)
    assert found
    assert found.kind == "empty"
    assert "10 live mappings" in found.message
    assert "--allow-empty" in found.message
    assert limit(rows(10), 10, gone=10, any_pod=False, believe=True) is None


def test_host_ports_count_for_nothing() -> None:
    advertised = [mapping(61000 + i, via="hostPort") for i in range(20)]
    assert limit(advertised, 20) is None
