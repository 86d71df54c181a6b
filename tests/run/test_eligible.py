"""Which rows of a plan may be in force."""

import pytest
from readings import decided, observed
from worlds import RANGE, mapping, pod, service
from worlds import plan as planned

from nplconf.model import PROTOCOLS, Holds, PortRange, Taken

REVIEWED = planned(mapping(61044))


@pytest.mark.parametrize(
    ("holds", "message"),
    [
        (Holds(available=False, message="nobody answers"), "port 61044 gets no new mapping: nobody answers"),
        (Holds(True, (RANGE,), (Taken(61044, "tcp", "nginx[7]"),)), "port 61044 is taken by nginx[7]"),
        (
            Holds(True, (RANGE,), (Taken(61045, "tcp", "other[8]"), Taken(61044, "udp"), Taken(61044, "tcp", "x[9]"))),
            "port 61044 is taken by x[9]",
        ),
        (Holds(True, (RANGE,), (Taken(61044, "udp"),)), "port 61044 is taken by an unknown process"),
        (
            Holds(True, (PortRange(61000, 61010),)),
            "port 61044 is not held: the daemon at /run/nplconf/hold.sock holds other ports",
        ),
    ],
)
def test_a_row_whose_number_is_not_held_says_who_has_it(holds: Holds, message: str) -> None:
    found = decided(pod(), service(), on=observed(holds=holds), plan=REVIEWED)
    assert [f.message for f in found.failures] == [message]
    assert found.eligible == ()


SCTP = mapping(61044, "sctp")
BESIDE = planned(mapping(61044), SCTP)
ASKING = (pod(), service(ports=[(8080, "TCP"), (8080, "SCTP")]))


def test_sctp_that_the_daemon_does_not_hold_fails_by_name_and_the_other_protocols_are_served() -> None:
    found = decided(*ASKING, on=observed(), plan=BESIDE, sctp=True)
    assert [row.protocol for row in found.eligible] == ["tcp"]
    ((step, subject, message),) = [(f.step, f.subject, f.message) for f in found.failures]
    assert (step, subject) == ("hold", SCTP.subject)
    assert "this kernel has no SCTP sockets, or the hold daemon runs without --sctp" in message
    held = observed(holds=Holds(True, (RANGE,), protocols=PROTOCOLS))
    assert [row.protocol for row in decided(*ASKING, on=held, plan=BESIDE, sctp=True).eligible] == ["sctp", "tcp"]


def test_an_sctp_mapping_that_is_live_stays_when_the_daemon_no_longer_holds_sctp() -> None:
    found = decided(*ASKING, on=observed(mapping(61044), SCTP), plan=BESIDE, sctp=True)
    assert found.failures == ()
    assert [row.protocol for row in found.eligible] == ["sctp", "tcp"]
