"""Annotations written to a real API server: separately for each Pod, never to another Pod of the same name."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import faultproxy
import pytest
import worlds
from area import WRITER_POLICIES, Area
from faultproxy import Proxy

from nplconf.cluster.api.client import ApiCluster
from nplconf.model import Patch, PodRef

pytestmark = pytest.mark.api


@pytest.fixture
def cluster(area: Area, proxy: Proxy, opened: Callable[..., ApiCluster]) -> ApiCluster:
    """The API server behind the proxy, known by a token as the job has one."""
    return opened(proxy.kubeconfig(area.node, token=area.token()))


def of(area: Area, name: str = "web-0", value: str | None = "[1]") -> Patch:
    """A patch for the Pod as it is now."""
    return Patch(PodRef(area.namespace, name, area.get(name)["metadata"]["uid"]), value)


def path(area: Area, name: str = "web-0") -> str:
    return f"/api/v1/namespaces/{area.namespace}/pods/{name}/status"


def test_an_annotation_is_set_changed_and_removed_and_nothing_else_is(cluster: ApiCluster, area: Area) -> None:
    area.pod(annotations={"other": "stays"})
    before = area.get("web-0")

    for value in ("[1]", "[2]", None):
        assert cluster.patch([of(area, value=value)]) == ()
        assert area.annotation() == value

    after = area.get("web-0")
    for pod in (before, after):
        pod["metadata"].pop("resourceVersion")
        pod["metadata"].pop("managedFields")
    assert after == before


def test_a_patch_is_a_merge_patch_of_the_status_with_the_uid(cluster: ApiCluster, area: Area, proxy: Proxy) -> None:
    area.pod()
    patch = of(area)

    cluster.patch([patch])

    (request,) = proxy.requests
    assert (request.method, request.path) == ("PATCH", path(area))
    assert request.headers["content-type"] == "application/merge-patch+json"
    text = f'{{"metadata":{{"uid":"{patch.pod.uid}","annotations":{{"{worlds.ANNOTATION}":"[1]"}}}}}}'
    assert request.body.decode() == text


def test_a_pod_that_is_gone_is_no_failure(cluster: ApiCluster, area: Area) -> None:
    area.pod()
    patch = of(area)
    area.delete("web-0")

    assert cluster.patch([patch]) == ()


def test_a_pod_created_again_under_the_same_name_is_never_given_the_old_annotation(
    cluster: ApiCluster, area: Area
) -> None:
    area.pod()
    patch = of(area)
    area.delete("web-0")
    area.pod()

    assert cluster.patch([patch]) == ()
    assert area.annotation() is None


def test_a_conflict_about_the_uid_means_the_same_on_servers_that_answer_409(
    cluster: ApiCluster, area: Area, proxy: Proxy
) -> None:
    area.pod()
    message = "Precondition failed: UID in precondition: a, UID in object meta: b"
    proxy.fail(faultproxy.status(409, "Conflict", message), path(area))

    assert cluster.patch([of(area)]) == ()


def test_another_conflict_is_a_failure(cluster: ApiCluster, area: Area, proxy: Proxy) -> None:
    area.pod()
    proxy.fail(faultproxy.status(409, "Conflict", "the object has been modified"), path(area))

    (failure,) = cluster.patch([of(area)])

    assert (failure.step, failure.subject) == ("publish", f"{area.namespace}/web-0")
    assert "the object has been modified" in failure.message


def test_annotations_that_become_too_long_are_a_failure_of_that_pod_alone(cluster: ApiCluster, area: Area) -> None:
    area.pod(annotations={"other": "x" * (256 * 1024 - 20)})
    area.pod("web-1")

    (failure,) = cluster.patch([of(area), of(area, "web-1")])

    assert failure.subject == f"{area.namespace}/web-0"
    assert "too long" in failure.message
    assert area.annotation("web-1") == "[1]"


def test_a_denial_by_a_policy_is_a_failure_of_that_pod_alone(
    proxy: Proxy, opened: Callable[..., ApiCluster], area: Area
) -> None:
    denying = Area(area.plane, WRITER_POLICIES)
    denying.pod(on=area.node)
    area.pod()
    cluster = opened(proxy.kubeconfig(area.node, token=denying.token()))

    (failure,) = cluster.patch([of(denying), of(area)])

    assert failure.subject == f"{denying.namespace}/web-0"
    assert "denied: " in failure.message
    assert "the Pod is not on it" in failure.message
    assert area.annotation() == "[1]"


@pytest.mark.parametrize("why", ["policy says no", "policy: strangers cannot patch Pods"])
@pytest.mark.parametrize("code", [403, 422])
def test_a_denial_is_recognised_whatever_its_message(
    cluster: ApiCluster, area: Area, proxy: Proxy, code: int, why: str
) -> None:
    area.pod()
    proxy.fail(faultproxy.status(code, "Forbidden", f'pods "web-0" is forbidden: {why}'), path(area))

    (failure,) = cluster.patch([of(area)])

    assert failure.message == f'denied: pods "web-0" is forbidden: {why}'
    assert failure.refused


def test_the_missing_right_to_patch_is_named(area: Area, proxy: Proxy, opened: Callable[..., ApiCluster]) -> None:
    area.pod()
    cluster = opened(proxy.kubeconfig(area.node, token=area.plane.tokens["tenant"]))

    (failure,) = cluster.patch([of(area)])

    assert failure.message.startswith("the right to patch pods/status is missing: ")
    assert not failure.refused


@pytest.mark.parametrize(
    "fault",
    [
        faultproxy.reset(),
        faultproxy.reset_after(),
        faultproxy.status(503, "ServiceUnavailable"),
        faultproxy.answers(429, "", Retry_After="1"),
        faultproxy.answers(502, "<html>"),
    ],
)
def test_a_patch_that_fails_on_the_way_is_sent_again(
    cluster: ApiCluster, area: Area, proxy: Proxy, fault: faultproxy.Fault
) -> None:
    area.pod()
    proxy.fail(fault, path(area))

    assert cluster.patch([of(area)]) == ()
    assert area.annotation() == "[1]"


@pytest.mark.parametrize(
    ("fault", "output"),
    [
        (faultproxy.answers(200, "<html>", "text/html"), "may or may not"),
        (faultproxy.status(200, "Success"), "may or may not"),
        (faultproxy.answers(404, "<html>not found</html>", "text/html"), "not from an API server"),
        (faultproxy.status(404, "NotFound", kind="namespaces"), "404"),
        (faultproxy.answers(307, "", Location="https://example.com/"), "refused"),
        (
            faultproxy.edited(lambda raw: raw | {"metadata": raw["metadata"] | {"annotations": {}}}),
            "not as it was to be",
        ),
        (faultproxy.status(401, "Unauthorized"), "401"),
        (faultproxy.status(500, "InternalError", "webhook down"), "webhook down"),
    ],
)
def test_a_response_that_does_not_confirm_the_patch_is_a_failure(
    cluster: ApiCluster, area: Area, proxy: Proxy, fault: faultproxy.Fault, output: str
) -> None:
    area.pod()
    proxy.fail(fault, path(area), times=9)

    (failure,) = cluster.patch([of(area)])

    assert output in failure.message


def test_of_many_pods_each_is_patched_and_the_failed_ones_are_named(
    cluster: ApiCluster, area: Area, proxy: Proxy
) -> None:
    for i in range(20):
        area.pod(f"web-{i}", (f"10.244.3.{i + 1}",))
    proxy.fail(faultproxy.status(403, "Forbidden"), path(area, "web-7"))
    patches = [of(area, f"web-{i}") for i in range(20)]
    proxy.requests.clear()

    failures = cluster.patch(patches)

    assert [failure.subject for failure in failures] == [f"{area.namespace}/web-7"]
    assert sorted(proxy.seen("PATCH")) == sorted(path(area, f"web-{i}") for i in range(20))
    assert [i for i in range(20) if area.annotation(f"web-{i}") is None] == [7]


def test_however_many_patches_there_are_a_plugin_is_asked_once(
    area: Area, proxy: Proxy, opened: Callable[..., ApiCluster], tmp_path: Path
) -> None:
    mark, script = tmp_path / "mark", tmp_path / "plugin"
    version = "client.authentication.k8s.io/v1"
    credential = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": area.token()}}
    script.write_text(f"#!/bin/sh\necho asked >>{mark}\ncat <<end\n{json.dumps(credential)}\nend\n")
    script.chmod(0o755)
    command = {"apiVersion": version, "command": str(script), "interactiveMode": "Never"}
    cluster = opened(proxy.kubeconfig(area.node, exec=command))
    for i in range(6):
        area.pod(f"web-{i}", (f"10.244.3.{i + 1}",))

    cluster.snapshot(area.node)
    assert cluster.patch([of(area, f"web-{i}") for i in range(6)]) == ()

    assert mark.read_text() == "asked\n"


@pytest.mark.usefixtures("hasty")
def test_patches_that_hang_are_given_up_within_one_deadline(cluster: ApiCluster, area: Area, proxy: Proxy) -> None:
    for i in range(6):
        area.pod(f"web-{i}", (f"10.244.3.{i + 1}",))
    proxy.fail(faultproxy.hang(), "/api/v1/namespaces", times=1000)

    start = time.monotonic()
    failures = cluster.patch([of(area, f"web-{i}") for i in range(6)])

    assert len(failures) == 6
    assert time.monotonic() - start < 4


@pytest.mark.usefixtures("hasty")
def test_a_patch_that_hangs_does_not_stop_others_from_being_written(
    cluster: ApiCluster, area: Area, proxy: Proxy
) -> None:
    for i in range(2):
        area.pod(f"web-{i}", (f"10.244.3.{i + 1}",))
    proxy.fail(faultproxy.hang(), path(area), times=1000)

    (failure,) = cluster.patch([of(area), of(area, "web-1")])

    assert "no answer in 2 s" in failure.message
    assert area.annotation("web-1") == "[1]"
