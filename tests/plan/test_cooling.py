"""Released ports wait before another Pod can get them."""

from nplconf.model import PodPort
from nplconf.plan.cooling import Cooling, current, freed, with_start_times

A, B = PodPort("shop/a", 80), PodPort("shop/b", 80)


def test_a_number_cools_until_its_time_is_over() -> None:
    cooling = [Cooling(61000, A, 100.0)]
    assert current(cooling, now=199.0, period=100, rebooted=False) == tuple(cooling)
    assert current(cooling, now=200.0, period=100, rebooted=False) == ()


def test_a_reboot_starts_the_time_anew() -> None:
    for before in (5000.0, 4.0):
        assert current([Cooling(61000, A, before)], now=10.0, period=100, rebooted=True) == (Cooling(61000, A, 10.0),)


def test_a_time_in_the_future_counts_from_now() -> None:
    assert current([Cooling(61000, A, 5000.0)], now=10.0, period=100, rebooted=False) == (Cooling(61000, A, 10.0),)


def test_a_port_without_owner_is_released_now() -> None:
    assert freed({A: 61000, B: 61001}, {61001}, (), now=7.0) == (Cooling(61000, A, 7.0),)


def test_freed_numbers_are_kept_in_their_order_so_that_nothing_changes_in_the_state_file() -> None:
    before = {A: 61001, B: 61000}
    assert freed(before, (), (), now=7.0) == (Cooling(61000, B, 7.0), Cooling(61001, A, 7.0))


def test_a_number_that_is_used_again_stops_cooling() -> None:
    assert freed({}, {61000}, [Cooling(61000, A, 1.0)], now=7.0) == ()


def test_a_number_that_cools_already_keeps_its_time() -> None:
    old = Cooling(61000, A, 1.0)
    assert freed({A: 61000}, (), [old], now=7.0) == (old,)


def test_the_number_that_a_pod_moved_away_from_cools() -> None:
    assert freed({A: 61000}, {61005}, (), now=7.0) == (Cooling(61000, A, 7.0),)


def test_a_time_in_the_future_is_kept_as_now_and_so_comes_to_an_end() -> None:
    (kept,) = with_start_times([Cooling(61000, A, 5000.0)], now=10.0, rebooted=False)
    assert current([kept], now=109.0, period=100, rebooted=False) == (kept,)
    assert current([kept], now=110.0, period=100, rebooted=False) == ()
