"""The permissions of examples/kubernetes on a real server: they suffice, and every other request is denied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kube
import pytest
import worlds
from area import KUBELET_POLICIES, STRICT_POLICIES, Area, wait_for_right

from nplconf.cluster.api.client import ApiCluster
from nplconf.model import Patch, PodRef

pytestmark = pytest.mark.api
OTHER = "example.com/other"
EVENTS = "/apis/events.k8s.io/v1/namespaces/{}/events"


def entry(number: int = 61044, ip: str = "10.10.10.10", protocols: str = "") -> str:
    """One entry of the annotation, as nplconf writes it."""
    family = "IPv6" if ":" in ip else "IPv4"
    head = f'"podPort":8080,"nodeIP":"{ip}","nodePort":{number},"protocol":"tcp","ipFamily":"{family}"'
    return f"{{{head}{protocols}}}"


ONE, TWO = f"[{entry()}]", f"[{entry()},{entry(61045, 'fd00:10::10')}]"
BOTH = "[" + entry(protocols=',"protocols":["tcp","udp"]') + "]"


def patch(area: Area, token: str, metadata: dict[str, Any], name: str = "web-0", **parts: Any) -> kube.Answer:
    """A patch of a Pod's status with this token."""
    path = f"/api/v1/namespaces/{area.namespace}/pods/{name}/status"
    return area.plane.call("PATCH", path, {"metadata": metadata, **parts}, token=token)


def allow(area: Area, user: str, subject: dict[str, str]) -> None:
    """Allow everything in the namespace. user: the subject as the API server calls it."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{area.namespace}/rolebindings"
    area.plane.ok("POST", path, {"metadata": {"name": "owner"}, "roleRef": role, "subjects": [subject]})
    wait_for_right(area.plane, user, "patch", "pods", area.namespace)


def annotations(value: str | None = "[]", key: str = worlds.ANNOTATION) -> dict[str, Any]:
    return {"annotations": {key: value}}


def test_the_writer_sets_changes_and_removes_the_annotation_of_its_nodes_pods(guarded: Area) -> None:
    guarded.pod()
    token = guarded.token()

    for value in ("[]", ONE, TWO, BOTH, f"[{','.join(entry(61000 + n) for n in range(690))}]", None):
        assert patch(guarded, token, annotations(value)).status == 200
        assert guarded.annotation() == value


def test_the_writer_reads_its_node_pods_by_node_and_services(guarded: Area) -> None:
    guarded.pod()
    token = guarded.token()
    selected = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{guarded.node}"

    for path in (f"/api/v1/nodes/{guarded.node}", selected, "/api/v1/services"):
        assert guarded.plane.call("GET", path, token=token).status == 200


def test_the_writer_does_not_write_to_another_nodes_pod(guarded: Area) -> None:
    guarded.add_node(f"{guarded.node}-b")
    guarded.pod(on=f"{guarded.node}-b")

    answer = patch(guarded, guarded.token(), annotations())

    assert answer.status == 422
    assert f"node {guarded.node}, the Pod is not on it" in answer.body["message"]


def test_a_token_without_a_node_writes_to_no_pod(guarded: Area) -> None:
    guarded.pod()

    answer = patch(guarded, guarded.token(bound=False), annotations())

    assert answer.status == 422
    assert "the token is of no node" in answer.body["message"]


def test_a_token_dies_with_its_node(guarded: Area) -> None:
    guarded.pod()
    token = guarded.token()
    guarded.plane.ok("DELETE", f"/api/v1/nodes/{guarded.node}")
    guarded.add_node(guarded.node)

    assert patch(guarded, token, annotations()).status == 401
    assert guarded.annotation() is None


def test_an_account_that_only_has_the_writers_name_is_not_the_writer(guarded: Area) -> None:
    guarded.pod()
    account = f"/api/v1/namespaces/{guarded.namespace}/serviceaccounts"
    guarded.plane.ok("POST", account, {"metadata": {"name": "nplconf"}})
    bound = {"apiVersion": "v1", "kind": "Node", "name": guarded.node, "uid": guarded.node_uid}
    spec = {"expirationSeconds": 3600, "boundObjectRef": bound}
    token = guarded.plane.ok("POST", f"{account}/nplconf/token", {"spec": spec})["status"]["token"]
    user = f"system:serviceaccount:{guarded.namespace}:nplconf"
    allow(guarded, user, {"kind": "ServiceAccount", "name": "nplconf", "namespace": guarded.namespace})

    answer = patch(guarded, token, annotations())

    assert (answer.status, guarded.annotation()) == (422, None)


@pytest.mark.parametrize(
    ("metadata", "parts"),
    [
        (annotations("x", OTHER), {}),
        ({"annotations": {worlds.ANNOTATION: "[]", OTHER: None}}, {}),
        ({"labels": {"app": "stolen"}}, {}),
        ({"labels": {"app": None}}, {}),
        ({"generateName": "web-"}, {}),
        ({"finalizers": ["example.com/hold"]}, {}),
        ({}, {"status": {"podIP": "10.244.9.9", "podIPs": [{"ip": "10.244.9.9"}]}}),
        ({}, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
        ({}, {"status": {"phase": "Failed"}}),
    ],
)
def test_the_writer_changes_nothing_else_of_a_pod(
    guarded: Area, metadata: dict[str, Any], parts: dict[str, Any]
) -> None:
    guarded.pod(annotations={OTHER: "mine"})
    before = guarded.get("web-0")

    answer = patch(guarded, guarded.token(), metadata, **parts)

    assert answer.status == 422, answer.body
    assert guarded.get("web-0") == before


SPECIAL = ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "ff02::1", "::"]
WRONG = {
    **{ip: f"[{entry(ip=ip)}]" for ip in SPECIAL},
    "one of many": f"[{entry()},{entry(ip='127.0.0.1')}]",
    "no address": f"[{entry(ip='1.2.3.4.5')}]",
    "a spelling of its own": ONE.replace(":8080", ": 8080"),
    "an escape": ONE.replace("nodeIP", "node\\u0049P"),
    "a key twice": ONE.replace(',"nodePort"', ',"nodeIP":"127.0.0.1","nodePort"'),
    "no list": "{}",
    "no entry": "[1]",
    "no JSON": "x",
    "nothing": "",
    "a comma at the end": f"[{entry()},]",
    "more than 64 KiB": f"[{','.join(entry(61000 + n) for n in range(740))}]",
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_the_writer_sets_the_annotation_to_nothing_that_it_cannot_be(guarded: Area, value: str) -> None:
    guarded.pod()
    answer = patch(guarded, guarded.token(), annotations(value))
    assert (answer.status, guarded.annotation()) == (422, None)


def event(area: Area, **fields: Any) -> dict[str, Any]:
    """An Event as nplconf creates it, with other fields."""
    regarding = {"apiVersion": "v1", "kind": "Pod", "namespace": area.namespace, "name": "web-0"}
    raw = {
        "metadata": {"name": "web-0.1"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "nplconf.io/nplconf",
        "reportingInstance": area.node,
        "type": "Normal",
        "reason": "Mapped",
        "action": "Map",
        "regarding": regarding,
    }
    return raw | fields


def test_the_writer_creates_events_about_pods_and_services(guarded: Area) -> None:
    guarded.pod()
    path, token = EVENTS.format(guarded.namespace), guarded.token()
    service = event(guarded)["regarding"] | {"kind": "Service", "name": "web"}

    assert guarded.plane.call("POST", path, event(guarded), token=token).status == 201
    other = event(guarded, metadata={"name": "web.1"}, regarding=service)
    assert guarded.plane.call("POST", path, other, token=token).status == 201


@pytest.mark.parametrize(
    "fields",
    [
        {"reportingController": "kubelet"},
        {"reportingController": "nplconf.io/other"},
        {"reportingInstance": "node-other"},
        {"regarding": {"apiVersion": "v1", "kind": "Secret", "name": "web-0"}},
        {"regarding": {"apiVersion": "apps/v1", "kind": "Pod", "name": "web-0"}},
        {"related": {"apiVersion": "v1", "kind": "Pod", "name": "web-0"}},
    ],
)
def test_the_writer_creates_no_event_in_another_name(guarded: Area, fields: dict[str, Any]) -> None:
    if "regarding" in fields:
        fields = {"regarding": fields["regarding"] | {"namespace": guarded.namespace}}
    answer = guarded.plane.call(
        "POST", EVENTS.format(guarded.namespace), event(guarded, **fields), token=guarded.token()
    )
    assert answer.status == 422, answer.body
    assert "Event of nplconf" in answer.body["message"] or "the Event is of another" in answer.body["message"]


def test_everybody_else_creates_events_as_before(guarded: Area) -> None:
    made = event(guarded, reportingController="kubelet", reportingInstance="x")
    assert guarded.plane.call("POST", EVENTS.format(guarded.namespace), made).status == 201


# --- the strict policies ---------------------------------------------------------------------------------------------


@pytest.fixture
def strict(plane: kube.ControlPlane) -> Area:
    """A area in which the strict policies hold, and no others."""
    return Area(plane, STRICT_POLICIES)


def test_with_the_strict_policies_a_node_ip_is_an_address_of_the_pods_node(strict: Area) -> None:
    strict.pod()
    strict.add_node(f"{strict.node}-b", (("InternalIP", "10.0.0.99"),))
    token = strict.token()

    for value in ("[]", ONE, TWO):
        assert patch(strict, token, annotations(value)).status == 200
    for ip in ("10.0.0.99", "203.0.113.7"):
        answer = patch(strict, token, annotations(f"[{entry()},{entry(ip=ip)}]"))
        assert answer.status == 422
        assert "an address of the Pod's node" in answer.body["message"]


def test_with_the_strict_policies_an_event_is_about_a_pod_of_the_writers_node(strict: Area) -> None:
    strict.add_node(f"{strict.node}-b")
    strict.pod()
    strict.pod("web-1", on=f"{strict.node}-b")
    path, token = EVENTS.format(strict.namespace), strict.token()
    other = event(strict)["regarding"] | {"name": "web-1"}

    assert strict.plane.call("POST", path, event(strict), token=token).status == 201
    answer = strict.plane.call("POST", path, event(strict, metadata={"name": "b.1"}, regarding=other), token=token)
    assert answer.status == 422
    assert "a Pod of its node" in answer.body["message"]


# --- what the writer's rights do not cover ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/configmaps"),
        ("GET", "/api/v1/namespaces"),
        ("GET", "/api/v1/endpoints"),
        ("GET", "/api/v1/namespaces/{namespace}/pods/web-0"),
        ("PATCH", "/api/v1/namespaces/{namespace}/pods/web-0"),
        ("DELETE", "/api/v1/namespaces/{namespace}/pods/web-0"),
        ("PUT", "/api/v1/namespaces/{namespace}/pods/web-0/status"),
        ("POST", "/api/v1/namespaces/{namespace}/pods"),
        ("POST", "/api/v1/namespaces/{namespace}/pods/web-0/binding"),
        ("POST", "/api/v1/namespaces/{namespace}/pods/web-0/eviction"),
        ("POST", "/api/v1/namespaces/{namespace}/pods/web-0/exec"),
        ("PATCH", "/api/v1/namespaces/{namespace}/services/web"),
        ("PATCH", "/api/v1/namespaces/{namespace}/services/web/status"),
        ("PATCH", "/api/v1/nodes/{node}"),
        ("PATCH", "/api/v1/nodes/{node}/status"),
        ("GET", "/apis/events.k8s.io/v1/events"),
        ("DELETE", "/apis/events.k8s.io/v1/namespaces/{namespace}/events/e"),
        ("PATCH", "/apis/events.k8s.io/v1/namespaces/{namespace}/events/e"),
        ("POST", "/api/v1/namespaces/nplconf/serviceaccounts/nplconf/token"),
    ],
)
def test_the_writer_has_no_other_right(guarded: Area, method: str, path: str) -> None:
    guarded.pod()
    guarded.service()
    where = path.format(namespace=guarded.namespace, node=guarded.node)

    answer = guarded.plane.call(method, where, None if method == "GET" else {}, token=guarded.token())

    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")


# --- everybody else --------------------------------------------------------------------------------------------------


@pytest.fixture
def tenant(guarded: Area) -> str:
    """The token of one who may do everything in the namespace: the owner of its Pods."""
    allow(guarded, "tenant", {"kind": "User", "name": "tenant", "apiGroup": "rbac.authorization.k8s.io"})
    return guarded.plane.tokens["tenant"]


def edit(area: Area, token: str, body: dict[str, Any], subresource: str = "") -> kube.Answer:
    path = f"/api/v1/namespaces/{area.namespace}/pods/web-0{subresource}"
    return area.plane.call("PATCH", path, body, token=token)


def test_an_ephemeral_container_does_not_bring_the_annotation(guarded: Area, tenant: str) -> None:
    guarded.pod()
    assert patch(guarded, guarded.token(), annotations(ONE)).status == 200
    work = {"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}}

    edit(guarded, tenant, {"metadata": annotations(TWO), **work}, "/ephemeralcontainers")
    assert guarded.annotation() == ONE
    assert edit(guarded, tenant, work, "/ephemeralcontainers").status == 200


@pytest.mark.parametrize("subresource", ["", "/status"])
@pytest.mark.parametrize("value", [TWO, None])
def test_a_pods_owner_neither_changes_nor_removes_its_annotation(
    guarded: Area, tenant: str, value: str | None, subresource: str
) -> None:
    guarded.pod()
    assert patch(guarded, guarded.token(), annotations(ONE)).status == 200

    answer = edit(guarded, tenant, {"metadata": annotations(value)}, subresource)

    assert answer.status == 422
    assert "written by nplconf alone" in answer.body["message"]
    assert guarded.annotation() == ONE


def test_a_pods_owner_does_not_set_the_annotation(guarded: Area, tenant: str) -> None:
    guarded.pod()

    assert edit(guarded, tenant, {"metadata": annotations()}).status == 422
    assert guarded.annotation() is None


def test_creating_a_pod_with_the_annotation_is_denied(guarded: Area, tenant: str) -> None:
    raw = worlds.raw_pod(namespace=guarded.namespace, on=guarded.node, annotations={worlds.ANNOTATION: "[]"})
    raw["metadata"].pop("uid")

    for token in (tenant, guarded.plane.tokens[kube.ADMIN]):
        assert (
            guarded.plane.call("POST", f"/api/v1/namespaces/{guarded.namespace}/pods", raw, token=token).status == 422
        )


def test_a_binding_does_not_bring_the_annotation_to_its_pod(guarded: Area, tenant: str) -> None:
    raw = worlds.raw_pod(namespace=guarded.namespace)
    raw["spec"].pop("nodeName")
    guarded.create_pod({**raw, "status": {"phase": "Pending"}})
    target = {"apiVersion": "v1", "kind": "Node", "name": guarded.node}
    path = f"/api/v1/namespaces/{guarded.namespace}/pods/web-0/binding"

    def bind(metadata: dict[str, Any]) -> int:
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web-0", **metadata}, "target": target}
        return guarded.plane.call("POST", path, body, token=tenant).status

    assert bind(annotations()) == 422
    assert bind(annotations("1", OTHER)) == 201
    assert guarded.get("web-0")["metadata"]["annotations"] == {OTHER: "1"}


def test_a_pods_owner_and_its_kubelet_do_all_the_rest(guarded: Area, tenant: str) -> None:
    guarded.pod()
    patch(guarded, guarded.token(), annotations(ONE))

    assert edit(guarded, tenant, {"metadata": {**annotations("x", OTHER), "labels": {"a": "b"}}}).status == 200
    assert edit(guarded, tenant, {"status": {"phase": "Failed"}}, "/status").status == 200
    assert guarded.annotation() == ONE


# --- the kubelet's own identity --------------------------------------------------------------------------------------


@pytest.fixture
def kubelet(plane: kube.ControlPlane) -> tuple[Area, tuple[Path, Path]]:
    """A area with the policies for it, and the certificate of its node's kubelet."""
    area = Area(plane, KUBELET_POLICIES)
    return area, plane.certificate(f"system:node:{area.node}", "system:nodes")


def test_a_kubelets_credentials_are_enough_for_the_job(
    kubelet: tuple[Area, tuple[Path, Path]], opened: Callable[..., ApiCluster]
) -> None:
    area, (certificate, key) = kubelet
    raw = area.pod()
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    cluster = opened(area.plane.kubeconfig("kubelet", user))

    found = cluster.snapshot(area.node)
    published = Patch(PodRef(area.namespace, "web-0", raw["metadata"]["uid"]), ONE)

    assert [pod.ref for pod in found.pods] == [published.pod]
    assert cluster.patch([published]) == ()
    assert area.annotation() == ONE


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_a_kubelet_sets_the_annotation_to_nothing_that_it_cannot_be(
    kubelet: tuple[Area, tuple[Path, Path]], value: str
) -> None:
    area, certificate = kubelet
    area.pod()
    path = f"/api/v1/namespaces/{area.namespace}/pods/web-0/status"
    answer = area.plane.call("PATCH", path, {"metadata": annotations(value)}, certificate=certificate)
    assert (answer.status, area.annotation()) == (422, None)


def test_a_kubelet_lists_no_pods_without_its_node_as_field_selector(
    kubelet: tuple[Area, tuple[Path, Path]],
) -> None:
    area, certificate = kubelet

    assert area.plane.call("GET", "/api/v1/pods", certificate=certificate).status == 403
    other = "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-other"
    assert area.plane.call("GET", other, certificate=certificate).status == 403


def test_a_kubelet_writes_to_no_other_nodes_pod(kubelet: tuple[Area, tuple[Path, Path]]) -> None:
    area, certificate = kubelet
    area.add_node(f"{area.node}-b")
    area.pod(on=f"{area.node}-b")
    path = f"/api/v1/namespaces/{area.namespace}/pods/web-0/status"

    answer = area.plane.call("PATCH", path, {"metadata": annotations()}, certificate=certificate)

    assert answer.status == 403
    assert area.annotation() is None


def test_with_the_kubelets_policy_all_others_are_denied_the_annotation(
    kubelet: tuple[Area, tuple[Path, Path]],
) -> None:
    area, _ = kubelet
    area.pod()

    assert area.annotate("web-0", "[]").status == 422
    assert area.annotate("web-0", "x", OTHER).status == 200
