"""Events on a real API server: each is posted once, stored over runs, and never makes a run fail."""

import time

import faultproxy
import pytest
import worlds
from apisite import Site

pytestmark = [pytest.mark.api, pytest.mark.kernel]
EVENTS = "/apis/events.k8s.io"


@pytest.fixture
def served(node: Site) -> Site:
    """A node with one mapped Pod."""
    node.area.pod()
    node.area.service()
    assert node.apply().code == 0
    return node


def reasons(node: Site) -> list[str]:
    """The reasons of all Events, oldest first."""
    return [event["reason"] for event in sorted(node.area.events(), key=lambda event: event["eventTime"])]


@pytest.mark.watch_too
def test_a_mapped_pod_has_an_event_that_says_where(served: Site) -> None:
    (event,) = served.area.events()

    pod = served.area.get("web-0")["metadata"]
    assert event["regarding"] | {"fieldPath": ""} == {
        "apiVersion": "v1",
        "fieldPath": "",
        "kind": "Pod",
        "name": "web-0",
        "namespace": served.area.namespace,
        "uid": pod["uid"],
    }
    assert (event["type"], event["reason"]) == ("Normal", "NodePortMapped")
    assert event["note"].startswith("reachable: 8080/tcp at 10.10.10.10:")
    assert (event["reportingController"], event["reportingInstance"]) == ("nplconf.io/nplconf", served.area.node)


@pytest.mark.watch_too
def test_no_event_is_repeated_by_later_runs(served: Site) -> None:
    for _ in range(3):
        assert served.apply().code == 0

    assert reasons(served) == ["NodePortMapped"]


@pytest.mark.watch_too
def test_a_skipped_port_a_service_and_a_forged_annotation_are_each_announced(served: Site) -> None:
    served.area.service("sctp", ((81, 9090, "SCTP"),))
    raw = worlds.raw_service("outside", namespace=served.area.namespace)
    served.area.create_service(raw | {"spec": raw["spec"] | {"type": "NodePort"}})
    served.area.annotate("web-0", "forged")

    for _ in range(2):
        assert served.apply().code == 0

    assert sorted(reasons(served)) == ["AnnotationForged", "NodePortMapped", "ProtocolUnsupported", "ServiceType"]
    assert served.area.annotation() != "forged"


@pytest.mark.watch_too
def test_a_service_gets_its_event_also_from_a_node_without_pods(node: Site) -> None:
    raw = worlds.raw_service("outside", namespace=node.area.namespace)
    node.area.create_service(raw | {"spec": raw["spec"] | {"type": "NodePort"}})

    for _ in range(2):
        assert node.apply("--allow-empty").code == 0

    assert reasons(node) == ["ServiceType"]


@pytest.mark.watch_too
def test_a_removed_annotation_is_announced_and_written_again(served: Site) -> None:
    published = served.area.annotation()
    served.area.annotate("web-0", None)

    for _ in range(2):
        assert served.apply().code == 0

    assert served.area.annotation() == published
    assert reasons(served) == ["NodePortMapped", "AnnotationForged"]


@pytest.mark.watch_too
def test_every_node_has_the_same_event_of_a_service(served: Site) -> None:
    raw = worlds.raw_service("outside", namespace=served.area.namespace)
    served.area.create_service(raw | {"spec": raw["spec"] | {"type": "NodePort"}})
    served.apply()
    (served.directory / "state" / "state.json").unlink()

    assert served.apply().code == 0
    assert reasons(served).count("ServiceType") == 1


@pytest.mark.watch_too
def test_the_flag_turns_them_off(node: Site) -> None:
    node.area.pod()
    node.area.service()

    assert node.apply("--no-events").code == 0
    assert node.area.events() == []
    assert node.proxy.seen("POST") == []


@pytest.mark.watch_too
@pytest.mark.parametrize(
    "fault",
    [
        faultproxy.reset(),
        pytest.param(faultproxy.status(500, "InternalError"), marks=pytest.mark.not_by_watch),
        pytest.param(faultproxy.status(429, "TooManyRequests"), marks=pytest.mark.not_by_watch),  # retried for 5 s
    ],
)
def test_an_event_that_cannot_be_created_is_no_failure_and_comes_later(node: Site, fault: faultproxy.Fault) -> None:
    node.area.pod()
    node.area.service()
    node.proxy.fail(fault, EVENTS, times=1000)

    start = time.monotonic()
    assert node.apply().code == 0
    assert time.monotonic() - start < 15
    node.proxy.heal()
    assert reasons(node) == []
    assert node.apply().code == 0

    assert reasons(node) == ["NodePortMapped"]


@pytest.mark.watch_too
def test_an_event_whose_answer_is_lost_is_created_once(node: Site) -> None:
    node.area.pod()
    node.area.service()
    node.proxy.fail(faultproxy.reset_after(), EVENTS)

    assert node.apply().code == 0
    assert reasons(node) == ["NodePortMapped"]


@pytest.mark.watch_too
def test_without_the_right_to_create_events_none_is_tried_again(node: Site) -> None:
    node.area.pod()
    node.area.service()
    rules = [
        {
            "apiGroups": [""],
            "resources": ["pods", "services", "nodes", "pods/status"],
            "verbs": ["list", "get", "watch", "patch"],
        }
    ]
    node.area.grant("restorer", rules)
    node.use(token=node.area.plane.tokens["restorer"])

    for _ in range(2):
        assert node.apply().code == 0

    node.area.revoke("restorer")
    assert node.proxy.seen("POST").count(f"{EVENTS}/v1/namespaces/{node.area.namespace}/events") == 1
