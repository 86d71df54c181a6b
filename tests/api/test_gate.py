"""The readiness gate on a real API server: the patch, the rights, and the policy that adds the gate."""

import time
from collections.abc import Callable
from typing import Any

import area as areas
import kube
import pytest
import worlds
from apisite import Site
from area import Area

from nplconf.cluster.api.client import ApiCluster
from nplconf.cluster.objects import read_pod
from nplconf.model import GATE, Condition, Patch

pytestmark = pytest.mark.api
GATES = [{"conditionType": GATE}]
STRATEGIC = "application/strategic-merge-patch+json"


def gated(area: Area, name: str = "web-0", ips: tuple[str, ...] = ("10.244.3.17",)) -> dict[str, Any]:
    raw = worlds.raw_pod(name, ips, namespace=area.namespace, on=area.node)
    raw["spec"]["readinessGates"] = GATES
    raw["status"]["conditions"] = [{"type": "ContainersReady", "status": "True"}]
    return area.create_pod(raw)


def conditions(area: Area, name: str = "web-0") -> dict[str, dict[str, Any]]:
    return {found["type"]: found for found in area.get(name)["status"].get("conditions", ())}


@pytest.mark.watch_too
def test_annotation_and_condition_are_written_together_and_the_kubelets_conditions_stay(node: Site) -> None:
    gated(node.area)
    node.area.service()
    assert node.apply().code == 0

    found = conditions(node.area)
    assert set(found) == {"ContainersReady", GATE}
    assert (found[GATE]["status"], found[GATE]["reason"]) == ("True", "Published")
    assert found[GATE]["lastTransitionTime"]
    assert node.area.annotation()
    before = node.area.get("web-0")
    applied = node.apply()
    assert applied.code == 0
    assert set(applied.causes) <= {"resync"}, "the event of the patch starts no run"
    assert node.area.get("web-0") == before


@pytest.mark.watch_too
def test_dropping_one_of_two_services_leaves_readiness_and_the_other_port(node: Site) -> None:
    gated(node.area)
    node.area.service("web")
    node.area.service("api", ((81, 9000, "TCP"),))
    assert node.apply().code == 0
    before = conditions(node.area)
    kept = [rule for rule in node.ours() if ":8080" in rule]
    node.area.delete("api", "services")
    assert node.apply().code == 0
    assert conditions(node.area) == before
    assert [rule for rule in node.ours() if "-j DNAT" in rule] == kept


@pytest.fixture
def writer(guarded: Area, opened: Callable[..., ApiCluster]) -> ApiCluster:
    return opened(guarded.kubeconfig())


def test_a_condition_changes_its_time_with_its_status_only(guarded: Area, writer: ApiCluster) -> None:
    pod = read_pod(gated(guarded))
    assert pod is not None
    assert (pod.gated, pod.containers_ready, pod.condition) == (True, True, Condition(""))

    def write(status: str, reason: str, *, transition: bool) -> dict[str, Any]:
        patch = Patch(pod.ref, "[]", Condition(status, reason, "m"), transition=transition)
        assert writer.patch([patch]) == ()
        return conditions(guarded)[GATE]

    first = write("False", "RangeFull", transition=True)
    time.sleep(1.1)
    second = write("False", "Degraded", transition=False)
    assert (second["reason"], second["lastTransitionTime"]) == ("Degraded", first["lastTransitionTime"])
    third = write("True", "Published", transition=True)
    assert third["lastTransitionTime"] != first["lastTransitionTime"]
    version = guarded.get("web-0")["metadata"]["resourceVersion"]
    write("True", "Published", transition=False)
    assert guarded.get("web-0")["metadata"]["resourceVersion"] == version


def test_a_condition_for_a_pod_that_was_created_again_is_not_written(guarded: Area, writer: ApiCluster) -> None:
    pod = read_pod(gated(guarded))
    assert pod is not None
    guarded.delete("web-0")
    gated(guarded)
    assert writer.patch([Patch(pod.ref, "[]", Condition("True", "Published", "m"), transition=True)]) == ()
    assert GATE not in conditions(guarded)


def ask(area: Area, status: dict[str, Any]) -> kube.Answer:
    path = f"/api/v1/namespaces/{area.namespace}/pods/web-0/status"
    return area.plane.call("PATCH", path, {"status": status}, token=area.token(), kind=STRATEGIC)


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": [{"type": "Ready", "status": "True"}]},
        {"conditions": [{"type": "ContainersReady", "status": "False"}]},
        {"conditions": [{"type": GATE, "status": "True"}, {"type": "example.com/other", "status": "True"}]},
        {"conditions": [{"type": GATE, "status": "Unknown"}]},
        {"conditions": [{"$patch": "delete", "type": "ContainersReady"}]},
        {"conditions": [{"type": GATE, "status": "True"}], "podIP": "10.244.9.9", "podIPs": [{"ip": "10.244.9.9"}]},
        {"conditions": [{"type": GATE, "status": "True"}], "phase": "Failed"},
        {"message": "stolen"},
    ],
)
def test_the_writer_changes_one_condition_and_nothing_else_of_the_status(guarded: Area, status: dict[str, Any]) -> None:
    gated(guarded)
    before = guarded.get("web-0")
    answer = ask(guarded, status)
    assert answer.status == 422, answer.body
    assert guarded.get("web-0") == before


def test_the_writer_does_not_set_the_condition_back(guarded: Area) -> None:
    gated(guarded)
    assert ask(guarded, {"conditions": [{"type": GATE, "status": "False"}]}).status == 200
    assert ask(guarded, {"conditions": [{"type": GATE, "status": "True"}]}).status == 200
    assert ask(guarded, {"conditions": [{"type": GATE, "status": "False"}]}).status == 422
    assert ask(guarded, {"conditions": [{"$patch": "delete", "type": GATE}]}).status == 422


def test_the_policy_adds_the_gate_to_pods_of_labelled_namespaces_once(plane: kube.ControlPlane) -> None:
    areas.install(plane, "readiness-gate.yaml")
    labelled, other = Area(plane), Area(plane)
    label = {"metadata": {"labels": {"nplconf.io/readiness-gate": "enabled"}}}
    plane.ok("PATCH", f"/api/v1/namespaces/{labelled.namespace}", label)

    def gates(area: Area, *given: str) -> list[str]:
        raw = worlds.raw_pod(namespace=area.namespace, on=area.node)
        raw["metadata"].pop("uid")
        if given:
            raw["spec"]["readinessGates"] = [{"conditionType": name} for name in given]
        made = plane.ok("POST", f"/api/v1/namespaces/{area.namespace}/pods?dryRun=All", raw)
        return [gate["conditionType"] for gate in made["spec"].get("readinessGates", ())]

    deadline = time.monotonic() + 30
    while not gates(labelled):
        assert time.monotonic() < deadline, "the policy adds no gate"
        time.sleep(0.1)
    assert gates(labelled) == [GATE]
    assert gates(labelled, "example.com/other") == ["example.com/other", GATE]
    assert gates(labelled, GATE) == [GATE]
    assert gates(other) == []
