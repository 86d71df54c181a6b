"""Denied patches: what is not tried again, and for how long."""

from dataclasses import replace

import pytest
from worlds import mapping, pod, ref

from nplconf.model import Failure, Pod, PortMapping
from nplconf.publish import annotation, denials
from nplconf.publish.denials import PERIOD, Denial

ROW = mapping()
NOW = 1000.0


def denied(*pods: Pod, rows: tuple[PortMapping, ...] = (ROW,)) -> dict[str, Denial]:
    return denials.added({}, [Failure("publish", p.ref.key, "no", refused=True) for p in pods], pods, rows, now=NOW)


def test_a_denial_holds_for_ten_minutes_of_the_boot_time_clock() -> None:
    found = denied(pod())
    assert denials.current(found, [pod()], [ROW], now=NOW + PERIOD - 1) == found
    for other in (NOW + PERIOD, NOW - 1):
        assert denials.current(found, [pod()], [ROW], now=other) == {}


@pytest.mark.parametrize(
    "changed",
    [
        pod(uid="again"),
        pod(ips=["10.244.9.9"]),
        pod(labels={"app": "web", "more": "x"}),
        pod(annotation="[]"),
        replace(pod(), version="2"),
        pod("other"),
    ],
)
def test_a_denial_ends_when_the_pod_changes_or_goes(changed: Pod) -> None:
    assert denials.current(denied(pod()), [changed], [ROW], now=NOW) == {}


@pytest.mark.parametrize("rows", [(), (ROW._replace(services=("shop/other",)),), (ROW, mapping(61045, pod_port=9090))])
def test_a_denial_ends_when_other_ports_or_services_are_asked_for(rows: tuple[PortMapping, ...]) -> None:
    assert denials.current(denied(pod()), [pod()], rows, now=NOW) == {}


def test_the_order_of_labels_and_rows_makes_no_difference() -> None:
    rows = (ROW, mapping(61045, pod_port=9090))
    found = denied(pod(labels={"a": "1", "b": "2"}), rows=rows)
    assert denials.current(found, [pod(labels={"b": "2", "a": "1"})], rows[::-1], now=NOW) == found


def test_a_failure_that_is_no_denial_is_tried_again() -> None:
    assert denials.added({}, [Failure("publish", "shop/web-0", "timeout")], [pod()], [ROW], now=NOW) == {}


def test_what_the_annotation_says_already_and_host_ports_and_other_pods_stay() -> None:
    published = pod(annotation=annotation.render([annotation.entry(ROW)]))
    other, advertised = mapping(61050, pod=ref("web-1")), mapping(4001, via="hostPort")
    new = mapping(61045, pod_port=9090)
    rows, (failure,) = denials.without((ROW, other, advertised, new), denied(published), [published, pod("web-1")])
    assert rows == (ROW, other, advertised)
    assert (failure.step, failure.subject, failure.refused) == ("publish", "shop/web-0", True)
    assert failure.message.startswith("no (denied before")
    assert denials.without((ROW,), {}, [replace(published)]) == ((ROW,), ())
