"""Which rows of a plan may be in force."""

import pytest
from readings import decided, observed
from worlds import RANGE, mapping, pod, service
from worlds import plan as planned

from nplconf.model import Holds, PortRange, Taken

REVIEWED = planned(mapping(61044))


@pytest.mark.parametrize(
    ("holds", "message"),
    [
        (Holds(available=False, message="nobody answers"), "number 61044 is not let in: nobody answers"),
        (Holds(True, (RANGE,), (Taken(61044, "tcp", "nginx[7]"),)), "number 61044 is taken by nginx[7]"),
        (
            Holds(True, (RANGE,), (Taken(61045, "tcp", "other[8]"), Taken(61044, "udp"), Taken(61044, "tcp", "x[9]"))),
            "number 61044 is taken by x[9]",
        ),
        (Holds(True, (RANGE,), (Taken(61044, "udp"),)), "number 61044 is taken by an unknown process"),
        (
            Holds(True, (PortRange(61000, 61010),)),
            "number 61044 is not held: the daemon at /run/nplconf/hold.sock holds other numbers",
        ),
    ],
)
def test_a_row_whose_number_is_not_held_says_who_has_it(holds: Holds, message: str) -> None:
    found = decided(pod(), service(), on=observed(holds=holds), plan=REVIEWED)
    assert [f.message for f in found.failures] == [message]
    assert found.eligible == ()
