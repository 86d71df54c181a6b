"""What follows from a node as it was read: which numbers may be used at all."""

from nplconf.model import Holds, PortRange, Taken
from nplconf.observed import held, usable
from nplconf.settings import Settings

HELD = Holds(available=True, ranges=(PortRange(61000, 61005),), taken=(Taken(61002, "udp"), Taken(61004, "tcp")))


def test_a_number_that_is_taken_for_one_protocol_is_held_for_none() -> None:
    assert held(HELD) == {61000, 61001, 61003, 61005}


def test_of_what_is_held_only_our_range_is_used() -> None:
    assert usable(HELD, Settings("worker-1", port_range=PortRange(61003, 61009))) == {61003, 61005}


def test_without_a_daemon_nothing_is_held() -> None:
    assert held(Holds(available=False)) == frozenset()
