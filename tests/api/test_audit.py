"""The requests of all tests of this session in the server's audit log: each was permitted and needed."""

from collections.abc import Callable
from typing import Any

import kube
import pytest
from area import Area

from nplconf.cluster.api.client import ApiCluster
from nplconf.model import Event, Patch, PodRef

pytestmark = pytest.mark.api
NEEDED = {
    ("get", "", "nodes", ""),
    ("list", "", "pods", ""),
    ("list", "", "services", ""),
    ("patch", "", "pods", "status"),
    ("create", "events.k8s.io", "events", ""),
}
"""What rbac.yaml grants: verb, group, resource, subresource."""
OPTIONAL = {("list", "", "nodes", "")}
"""What improves a message only: the names of other Nodes, when none has the name of this one."""
ANYBODY = ("create", "authorization.k8s.io", "selfsubjectaccessreviews", "")
"""What every account may: ask what it may, as doctor does."""
RENDERER = "system:serviceaccount:kube-system:nplconf-plans"
"""The job in CI that renders the plans of all nodes: it has its own rights (examples/gitops), to read and no more."""
RENDERED = {("list", "", resource, "") for resource in ("nodes", "pods", "services")} | {("get", "", "nodes", "")}


def asked(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    what = entry.get("objectRef", {})
    return entry["verb"], what.get("apiGroup", ""), what.get("resource", ""), what.get("subresource", "")


def of_nplconf(plane: kube.ControlPlane) -> list[dict[str, Any]]:
    return [entry for entry in plane.audit() if entry.get("userAgent", "").startswith("nplconf/")]


@pytest.mark.last
def test_no_request_was_made_that_the_rights_are_not_needed_for_and_each_was(
    area: Area, opened: Callable[..., ApiCluster]
) -> None:
    uid = area.pod()["metadata"]["uid"]
    cluster = opened(area.kubeconfig())
    cluster.snapshot(area.node)
    cluster.patch([Patch(PodRef(area.namespace, "web-0", uid), "[]")])
    cluster.post_events([Event("Pod", area.namespace, "web-0", uid, "t", "v", "Told", "a note")], area.node)

    logged = of_nplconf(area.plane)
    # whom the server does not know has no name
    found = [entry for entry in logged if entry["user"].get("username") != RENDERER]

    assert {asked(entry) for entry in found} - {ANYBODY} - OPTIONAL == NEEDED
    lists = [entry["requestURI"] for entry in found if asked(entry) == ("list", "", "pods", "")]
    assert all(uri.startswith("/api/v1/pods?fieldSelector=spec.nodeName%3D") for uri in lists)
    assert {asked(entry) for entry in logged if entry not in found} <= RENDERED
