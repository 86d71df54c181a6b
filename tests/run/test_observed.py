"""Conclusions from a node as read: previous ports, held ports, and advertised addresses."""

from dataclasses import replace

import pytest
from readings import SETTINGS, observed
from worlds import mapping, plan, ref

from nplconf.desired.ports import Previous
from nplconf.model import Holds, PodPort, PortRange, Taken
from nplconf.plan.cooling import Cooling
from nplconf.plan.state import State
from nplconf.run.observed import held, live_now, previous_of, usable

A, B, C = (PodPort(f"shop/{name}", 8080) for name in "abc")
LIVE, PLANNED = mapping(61001, pod=ref("a")), mapping(61002, pod=ref("b"))
WAITING = Cooling(61003, C, 5.0)


def past(boot: str = "boot-1", cool_down: int = 1800) -> Previous:
    node = observed(LIVE, state=State(boot=boot, plan=plan(PLANNED), cooling=(WAITING,)))
    return previous_of((LIVE,), node, replace(SETTINGS, cool_down=cool_down))


def test_live_rules_are_trusted_first_then_the_last_plan_then_who_had_a_number_before() -> None:
    assert past().sources == ({A: 61001}, {B: 61002}, {C: 61003})


@pytest.mark.parametrize(("boot", "freed_at"), [("boot-1", 5.0), ("boot-0", 1000.0)])
def test_a_port_that_cools_or_is_in_use_is_given_to_no_other_pod(boot: str, freed_at: float) -> None:
    assert set(past(boot).for_last_owners) == {
        Cooling(61001, A, 1000.0),
        Cooling(61002, B, 1000.0),
        Cooling(61003, C, freed_at),
    }


def test_without_a_cool_down_a_number_that_its_owner_leaves_is_anybodys() -> None:
    assert past(cool_down=0).for_last_owners == ()


def test_what_is_advertised_is_what_the_last_plan_had_else_what_the_settings_say() -> None:
    settings = replace(SETTINGS, node_ips={"IPv4": "192.0.2.1"})
    assert live_now(observed(LIVE), settings)[0].node_ip == "192.0.2.1"
    assert live_now(observed(LIVE, state=State(plan=plan())), settings)[0].node_ip == "10.10.10.10"


def test_a_number_is_held_that_is_in_a_range_and_taken_for_no_protocol() -> None:
    holds = Holds(True, (PortRange(61000, 61001), PortRange(61004, 61005)), (Taken(61004, "udp"),))
    assert held(holds) == {61000, 61001, 61005}


def test_only_numbers_of_our_own_range_are_of_use_and_what_is_not_held_of_it_is_taken() -> None:
    settings = replace(SETTINGS, port_range=PortRange(61000, 61002))
    wide = Holds(True, (PortRange(60000, 62000),), (Taken(61001, "tcp"),))
    assert usable(wide, settings) == {61000, 61002}
    assert previous_of((), observed(holds=wide), settings).taken == {61001}
    others = Holds(True, (PortRange(50000, 50001),))
    assert usable(others, settings) == previous_of((), observed(holds=others), settings).taken == frozenset()


def test_without_a_daemon_nothing_is_held() -> None:
    assert held(Holds(available=False)) == frozenset()
