"""The condition of the readiness gate."""

from dataclasses import replace

import pytest
from worlds import mapping, pod, ref

from nplconf.model import Condition, Pending, Skipped
from nplconf.publish.conditions import Requested, condition, due

GATED = pod(gated=True)
ROW = mapping()


def skipped(reason: str) -> Skipped:
    return Skipped("shop/web-0", 8080, "tcp", "shop/web", reason, "why")


def of(asked: Requested, there: tuple = (ROW,), waiting: tuple = (), ips: tuple = ("10.244.3.17",)) -> tuple[str, str]:  # type: ignore[type-arg]
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
    assert of(Requested(skipped=(skipped(reason),))) == expected


def test_a_pod_without_any_address_is_not_skipped_for_good() -> None:
    assert of(Requested(skipped=(skipped("pod-ip-missing"),)), ips=()) == ("False", "NotYetPublished")


def test_every_mapping_must_be_in_place() -> None:
    rows = (ROW, mapping(61045, pod_port=9000))
    assert of(Requested(rows), there=(ROW,)) == ("False", "Degraded")
    assert of(Requested(rows), there=rows) == ("True", "Published")
    assert of(Requested(rows), there=rows, waiting=(ROW,)) == ("False", "NotYetPublished")


def test_nothing_asks_for_the_pod() -> None:
    assert of(Requested()) == ("True", "NothingToPublish")


def test_a_port_that_waits_for_a_review_keeps_the_gate_closed() -> None:
    assert of(Requested(pending=(Pending(ref(), 9000, "tcp"),))) == ("False", "NotReviewed")


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
        assert bool(due([one], {one.ref: Requested((ROW,))}, (), ())) == expected


def test_a_condition_that_is_already_right_is_not_written() -> None:
    (found,) = due([GATED], {}, (), ()).values()
    assert due([replace(GATED, condition=found)], {}, (), ()) == {}
