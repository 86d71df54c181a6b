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
"""What rbac.yaml grants to every run: verb, group, resource, subresource."""
OPTIONAL = {
    ("list", "", "nodes", ""),  # of watch mode; else it improves a message: the names of other Nodes
    *(("watch", "", resource, "") for resource in ("nodes", "pods", "services")),
}
"""What rbac.yaml grants beside that: tests of watch mode may or may not have run before."""
ANYBODY = ("create", "authorization.k8s.io", "selfsubjectaccessreviews", "")
"""What every account may: ask what it may, as doctor does."""
RENDERER = "system:serviceaccount:kube-system:nplconf-plans"
"""The job in CI that renders the plans of all nodes: it has its own rights (examples/gitops), to read and no more."""
READER = "system:serviceaccount:nplconf:nplconf-reader"
"""Whoever runs `nplconf backends`: it reads the Services and Pods of the whole cluster (reader.yaml)."""
OTHERS = {
    RENDERER: {("list", "", resource, "") for resource in ("nodes", "pods", "services")} | {("get", "", "nodes", "")},
    READER: {(verb, "", resource, "") for verb in ("get", "list", "watch") for resource in ("pods", "services")},
}
"""What accounts beside the nodes' may ask."""


def asked(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    what = entry.get("objectRef", {})
    return entry["verb"], what.get("apiGroup", ""), what.get("resource", ""), what.get("subresource", "")


def user(entry: dict[str, Any]) -> str:
    """Who asked; "" where the server does not know them."""
    return str(entry["user"].get("username", ""))


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
    found = [entry for entry in logged if user(entry) not in OTHERS]

    assert {asked(entry) for entry in found} - {ANYBODY} - OPTIONAL == NEEDED
    lists = [entry["requestURI"] for entry in found if asked(entry) == ("list", "", "pods", "")]
    assert all(uri.startswith("/api/v1/pods?fieldSelector=spec.nodeName%3D") for uri in lists)
    for name, allowed in OTHERS.items():
        assert {asked(entry) for entry in logged if user(entry) == name} <= allowed
