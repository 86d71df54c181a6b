"""The condition of the readiness gate."""

from dataclasses import replace

import pytest
from worlds import mapping, pod, ref

from nplconf.model import Condition, Pending, PortMapping, Skipped
from nplconf.publish.conditions import PodRequests, condition, due

GATED = pod(gated=True)
ROW = mapping()


def skipped(reason: str) -> Skipped:
    return Skipped("shop/web-0", 8080, "tcp", "shop/web", reason, "why")


def of(
    asked: PodRequests,
    there: tuple[PortMapping, ...] = (ROW,),
    waiting: tuple[PortMapping, ...] = (),
    ips: tuple[str, ...] = ("10.244.3.17",),
) -> tuple[str, str]:
    found = condition(replace(GATED, ips=ips), asked, there, waiting)
    assert found.message
    return found.status, found.reason


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("host-network", ("True", "Skipped")),
        ("protocol-unsupported", ("True", "Skipped")),
        ("policy", ("True", "Skipped")),
        ("named-port-unresolved", ("True", "Skipped")),
        ("node-ip-missing", ("True", "Skipped")),
        ("pod-ip-missing", ("True", "Skipped")),
        ("range-full", ("False", "RangeFull")),
        ("namespace-share", ("False", "NamespaceShare")),
        ("pin-taken", ("False", "PinTaken")),
    ],
)
def test_what_is_skipped_for_good_opens_the_gate_and_what_may_pass_does_not(
    reason: str, expected: tuple[str, str]
) -> None:
    assert of(PodRequests(skipped=(skipped(reason),))) == expected


def test_a_pod_without_any_address_is_not_skipped_for_good() -> None:
    assert of(PodRequests(skipped=(skipped("pod-ip-missing"),)), ips=()) == ("False", "NotYetPublished")


def test_every_mapping_must_be_in_place() -> None:
    rows = (ROW, mapping(61045, pod_port=9000))
    assert of(PodRequests(rows), there=(ROW,)) == ("False", "Degraded")
    assert of(PodRequests(rows), there=rows) == ("True", "Published")
    assert of(PodRequests(rows), there=rows, waiting=(ROW,)) == ("False", "NotYetPublished")


def test_a_pod_that_no_service_selects() -> None:
    assert of(PodRequests()) == ("True", "NothingToPublish")


def test_a_port_that_waits_for_a_review_keeps_the_gate_closed() -> None:
    assert of(PodRequests(pending=(Pending(ref(), 9000, "tcp"),))) == ("False", "NotReviewed")


def test_it_is_written_for_pods_with_the_gate_alone_and_never_set_back() -> None:
    closed = Condition("False", "Degraded", "old")
    for one, expected in [
        (pod(), False),
        (GATED, True),
        (replace(GATED, terminating=True), False),
        (replace(GATED, phase="Succeeded"), False),
        (replace(GATED, condition=closed), True),
        (replace(GATED, condition=Condition("True", "Published", "old")), False),
    ]:
        assert bool(due([one], {one.ref: PodRequests((ROW,))}, (), ())) == expected


def test_a_condition_that_is_already_right_is_not_written() -> None:
    (found,) = due([GATED], {}, (), ()).values()
    assert due([replace(GATED, condition=found)], {}, (), ()) == {}
