"""The reason why a mapping is added, changed or removed."""

import pytest
from readings import decided, observed
from worlds import RANGE, mapping, pod, service
from worlds import plan as planned

from nplconf.model import ContainerPort, Holds, Pod, PortMapping, Taken
from nplconf.plan.live import NOBODY
from nplconf.plan.state import State
from nplconf.run.decision import Decision

REVIEWED = planned(mapping(61044))


def reasons(found: Decision) -> list[tuple[str, str, int]]:
    return [(c.action, c.reason, c.mapping.node_port) for c in found.diff.changes]


@pytest.mark.parametrize(("boot", "reason"), [("boot-1", "rule-missing"), ("boot-0", "new")])
def test_a_rule_that_was_there_in_this_boot_is_missing_and_another_one_is_new(boot: str, reason: str) -> None:
    known = observed(state=State(boot=boot, plan=REVIEWED))
    pods = (pod(), pod("web-1", ["10.244.3.18"]))
    found = decided(*pods, service(), on=known)
    assert {c.mapping.pod.name: c.reason for c in found.diff.changes} == {"web-0": reason, "web-1": "new"}


@pytest.mark.parametrize(
    ("live", "now", "reason"),
    [
        (mapping(pod=NOBODY), pod(), "owner-unknown"),
        (mapping(), pod("web-1"), "pod-gone"),
        (mapping(), pod(phase="Failed"), "pod-terminated"),
        (mapping(), pod(labels={}), "not-selected"),
        (mapping(), pod(host_network=True), "host-network"),
        (mapping(), pod(ports=[ContainerPort(8080, host_port=4001)]), "host-port"),
    ],
)
def test_a_rule_that_goes_says_why(live: PortMapping, now: Pod, reason: str) -> None:
    found = decided(now, service(ports=[(8080, "TCP"), (9, "SCTP")]), on=observed(live))
    assert [c.reason for c in found.diff.changes if c.action == "delete"] == [reason]


def test_of_two_rules_for_one_port_the_one_that_goes_is_doubled() -> None:
    found = decided(pod(), service(), on=observed(mapping(61001), mapping(61002)))
    assert reasons(found) == [("delete", "doubled", 61002)]


def test_the_reason_of_a_removed_rule_names_that_no_port_was_available() -> None:
    holds = Holds(available=True, ranges=(RANGE,), taken=(Taken(61045, "tcp"),))
    found = decided(pod(), service(), on=observed(mapping(), holds=holds), plan=planned(mapping(61045)))
    assert reasons(found) == [("delete", "number-unavailable", 61044)]
