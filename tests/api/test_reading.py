"""A snapshot of a real API server is complete, or an error that names the reason."""

import email.utils
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faultproxy
import pytest
from area import Area
from faultproxy import Proxy

from nplconf.cluster.api.client import ApiCluster
from nplconf.errors import NplconfError, PermissionDeniedError, UnavailableError

pytestmark = pytest.mark.api
RESOURCES = ("pods", "services", "nodes")
PODS, SERVICES, NODES = "/api/v1/pods", "/api/v1/services", "/api/v1/nodes"


@pytest.fixture
def cluster(area: Area, proxy: Proxy, opened: Callable[..., ApiCluster]) -> ApiCluster:
    """The API server behind the proxy, known by a token as the job has one."""
    area.pod()
    area.service()
    return opened(proxy.kubeconfig(area.node, token=area.token()))


def why(cluster: ApiCluster, area: Area, error: type[NplconfError] = UnavailableError) -> str:
    """What the failed snapshot says."""
    with pytest.raises(error) as caught:
        cluster.snapshot(area.node)
    return str(caught.value)


def test_a_snapshot_has_this_nodes_pods_its_node_and_all_services(cluster: ApiCluster, area: Area) -> None:
    area.add_node(f"{area.node}-b")
    area.pod("elsewhere", on=f"{area.node}-b")

    found = cluster.snapshot(area.node)

    assert [node.name for node in found.nodes] == [area.node]
    assert [pod.ref.key for pod in found.pods] == [f"{area.namespace}/web-0"]
    assert f"{area.namespace}/web" in {service.key for service in found.services}
    kubernetes = area.plane.ok("GET", "/api/v1/namespaces/default/services/kubernetes")
    assert found.identity == kubernetes["metadata"]["uid"]
    assert found.served


def test_each_list_is_one_consistent_request_and_gzip_is_accepted(
    cluster: ApiCluster, area: Area, proxy: Proxy
) -> None:
    cluster.snapshot(area.node)

    selected = f"{PODS}?fieldSelector=spec.nodeName%3D{area.node}"
    assert proxy.seen("GET") == [SERVICES, f"{NODES}/{area.node}", selected]
    assert {request.headers["accept-encoding"] for request in proxy.requests} == {"gzip"}


def test_a_node_that_is_not_there_is_missing_from_the_snapshot(cluster: ApiCluster) -> None:
    assert "no-such-node" not in {node.name for node in cluster.snapshot("no-such-node").nodes}


@pytest.mark.parametrize("path", [PODS, SERVICES, NODES])
@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_server_is_asked_again_after_its_retry_after(
    cluster: ApiCluster, area: Area, proxy: Proxy, path: str, code: int
) -> None:
    proxy.fail(faultproxy.answers(code, "busy", "text/plain", Retry_After="1"), path)

    start = time.monotonic()
    found = cluster.snapshot(area.node)

    assert found.pods
    assert found.nodes
    assert 1 <= time.monotonic() - start < 5


@pytest.mark.usefixtures("hasty")
def test_a_server_that_stays_busy_is_given_up_within_the_deadline(
    cluster: ApiCluster, area: Area, proxy: Proxy
) -> None:
    proxy.fail(faultproxy.status(429, "TooManyRequests"), PODS, times=1000)

    start = time.monotonic()
    message = why(cluster, area)

    assert "429" in message
    assert time.monotonic() - start < 3


def date(seconds: float) -> str:
    """A moment from now, as HTTP writes it."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("asked", ["3600", "9" * 400, pytest.param(date(3600), id="in an hour")])
def test_a_wait_longer_than_the_deadline_is_not_begun(
    cluster: ApiCluster, area: Area, proxy: Proxy, asked: str
) -> None:
    proxy.fail(faultproxy.answers(503, "", Retry_After=asked), PODS)

    start = time.monotonic()
    assert "503" in why(cluster, area)
    assert time.monotonic() - start < 1


def test_a_retry_after_with_a_date_is_respected(cluster: ApiCluster, area: Area, proxy: Proxy) -> None:
    until = int(time.time()) + 2
    proxy.fail(faultproxy.answers(503, "", Retry_After=email.utils.formatdate(until, usegmt=True)), PODS)

    assert cluster.snapshot(area.node).pods
    assert time.time() >= until


AN_HOUR_AGO = pytest.param(date(-3600), id="an hour ago")
"""Its name must be the same in each worker."""


@pytest.mark.parametrize("asked", ["soon", "-1", "1.5", "\xb2", "", AN_HOUR_AGO, "Thu, 99 Nov 2026 99:99:99 GMT"])
def test_an_invalid_retry_after_is_a_short_pause(cluster: ApiCluster, area: Area, proxy: Proxy, asked: str) -> None:
    proxy.fail(faultproxy.answers(429, "", Retry_After=asked), PODS)

    start = time.monotonic()
    assert cluster.snapshot(area.node).pods
    assert time.monotonic() - start < 1.5


@pytest.mark.parametrize("fault", [faultproxy.reset(), faultproxy.truncated(50), faultproxy.truncated(0)])
def test_a_connection_that_breaks_is_made_again(
    cluster: ApiCluster, area: Area, proxy: Proxy, fault: faultproxy.Fault
) -> None:
    for path in (PODS, SERVICES, NODES):
        proxy.fail(fault, path)

    assert len(cluster.snapshot(area.node).pods) == 1


@pytest.mark.usefixtures("hasty")
def test_a_hanging_answer_is_given_up_for_another(cluster: ApiCluster, area: Area, proxy: Proxy) -> None:
    proxy.fail(faultproxy.hang(), PODS)

    assert len(cluster.snapshot(area.node).pods) == 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", [faultproxy.hang(), faultproxy.dripping()])
def test_a_server_that_hangs_or_sends_byte_by_byte_is_given_up_within_the_deadline(
    cluster: ApiCluster, area: Area, proxy: Proxy, fault: faultproxy.Fault
) -> None:
    proxy.fail(fault, SERVICES, times=1000)

    start = time.monotonic()
    assert "no answer in 2 s" in why(cluster, area)
    assert time.monotonic() - start < 3


# --- answers that are none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "output"),
    [
        (faultproxy.truncated(100, honest=True), "broken or cut off"),
        (faultproxy.truncated(0, honest=True), "broken or cut off"),
        (faultproxy.answers(200, "<html>Please log in</html>", "text/html"), "text/html instead of JSON"),
        (faultproxy.answers(502, "<html>Bad gateway</html>", "text/html"), "502"),
        (faultproxy.status(200, "Expired"), "a Status (told to)"),
        (faultproxy.edited(lambda raw: raw | {"items": None}), "no items"),
        (faultproxy.edited(lambda raw: {k: v for k, v in raw.items() if k != "items"}), "no items"),
        (faultproxy.edited(lambda raw: raw | {"items": {"a": 1}}), "no items"),
        (faultproxy.edited(lambda raw: raw | {"items": [*raw["items"], 1]}), "no object"),
        (faultproxy.edited(lambda raw: raw | {"items": [*raw["items"], {}]}), "no object"),
        (faultproxy.edited(lambda raw: raw | {"items": [*raw["items"], {"metadata": {"name": "a"}}]}), "no object"),
        (faultproxy.edited(lambda raw: raw | {"kind": "NodeList"}), "a NodeList"),
        (faultproxy.answers(200, "[]"), "broken"),
        (faultproxy.answers(200, "[" * 100_000), "broken"),
        (faultproxy.status(500, "InternalError"), "500"),
        (faultproxy.status(404, "NotFound"), "404"),
        (faultproxy.answers(302, "", Location="https://login.example.com/"), "https://login.example.com/: refused"),
        (faultproxy.answers(301, "", Location="/elsewhere"), "refused"),
        (faultproxy.half_a_gzip(), "ends too early"),
    ],
)
@pytest.mark.parametrize("path", [PODS, SERVICES])
def test_an_incomplete_list_is_an_error(
    cluster: ApiCluster, area: Area, proxy: Proxy, path: str, fault: faultproxy.Fault, output: str
) -> None:
    proxy.fail(fault, path, times=10)

    assert output in why(cluster, area)


@pytest.mark.parametrize(
    "fault",
    [
        faultproxy.answers(404, "<html>not found</html>", "text/html"),
        faultproxy.status(404, "NotFound", kind="namespaces"),
        faultproxy.answers(200, "{}"),
        faultproxy.status(200, "NotFound", kind="nodes"),
    ],
)
def test_only_the_servers_own_404_means_that_there_is_no_such_node(
    cluster: ApiCluster, area: Area, proxy: Proxy, fault: faultproxy.Fault
) -> None:
    proxy.fail(fault, NODES)

    why(cluster, area)


# --- pages ----------------------------------------------------------------------------------------------------------


def paged(raw: dict[str, Any]) -> dict[str, Any]:
    """A list that claims to go on."""
    return raw | {"metadata": raw["metadata"] | {"continue": "next"}}


def page(*names: str, more: str = "") -> faultproxy.Fault:
    """A page of Services that no server has."""
    items = [{"metadata": {"name": name, "namespace": "paged", "uid": name}} for name in names]
    return faultproxy.answers(200, {"kind": "ServiceList", "metadata": {"continue": more}, "items": items})


def names(cluster: ApiCluster, area: Area) -> set[str]:
    found = cluster.snapshot(area.node)
    return {service.name for service in found.services if service.namespace == "paged"}


def test_a_continue_of_the_server_is_followed(cluster: ApiCluster, area: Area, proxy: Proxy) -> None:
    proxy.fail(page("a", more="p 2"), SERVICES)
    proxy.fail(page("b", more="p3"), f"{SERVICES}?continue=p+2")
    proxy.fail(page("c"), f"{SERVICES}?continue=p3")

    assert names(cluster, area) == {"a", "b", "c"}


def test_after_a_410_on_the_way_the_list_is_read_again_from_its_start(
    cluster: ApiCluster, area: Area, proxy: Proxy
) -> None:
    proxy.fail(page("gone", more="p2"), SERVICES)
    proxy.fail(faultproxy.status(410, "Expired"), f"{SERVICES}?continue=p2")
    proxy.fail(page("a"), SERVICES)

    assert names(cluster, area) == {"a"}


def test_after_two_410_the_list_is_given_up(cluster: ApiCluster, area: Area, proxy: Proxy) -> None:
    proxy.fail(faultproxy.status(410, "Expired"), f"{SERVICES}?continue", times=9)
    proxy.fail(page("a", more="p2"), SERVICES, times=9)

    assert "410" in why(cluster, area)
    assert len(proxy.seen("GET")) == 4


# --- our identity -----------------------------------------------------------------------------------------------------


def test_a_token_file_that_was_renewed_is_read_again_on_a_401(
    area: Area, proxy: Proxy, opened: Callable[..., ApiCluster], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    cluster = opened(proxy.kubeconfig(area.node, tokenFile=str(file)))
    proxy.fail(faultproxy.before(lambda: file.write_text(area.token())), SERVICES)

    assert cluster.snapshot(area.node).nodes
    assert proxy.statuses.count(401) == 1


def test_a_token_that_stays_unknown_is_no_permission_and_asked_once(
    area: Area, proxy: Proxy, opened: Callable[..., ApiCluster]
) -> None:
    cluster = opened(proxy.kubeconfig(area.node, token="unknown"))

    assert "rejected our token (401)" in why(cluster, area, PermissionDeniedError)
    assert proxy.statuses == [401]


@pytest.mark.parametrize(("resource", "verb"), [("pods", "list"), ("services", "list"), ("nodes", "get")])
def test_a_403_says_which_right_is_missing(
    area: Area, proxy: Proxy, opened: Callable[..., ApiCluster], resource: str, verb: str
) -> None:
    rules = [{"apiGroups": [""], "resources": [r], "verbs": ["get", "list"]} for r in RESOURCES if r != resource]
    area.grant("restorer", rules)

    cluster = opened(proxy.kubeconfig(area.node, token=area.plane.tokens["restorer"]))

    message = why(cluster, area, PermissionDeniedError)
    assert f"the right to {verb} {resource} is missing" in message
    assert 'User "restorer" cannot' in message
    area.revoke("restorer")
