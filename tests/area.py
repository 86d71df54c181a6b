"""An area of the shared cluster for one test: a namespace, a node, Pods and Services, on the real API server."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kube
import worlds
import yaml

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "kubernetes"
WRITER = "system:serviceaccount:nplconf:nplconf"
ACCOUNT = "/api/v1/namespaces/nplconf/serviceaccounts/nplconf/token"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
WRITER_POLICIES, KUBELET_POLICIES, STRICT_POLICIES = "writer", "kubelet", "strict"
_COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "MutatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}
_numbers = itertools.count()


def install(plane: kube.ControlPlane, name: str, guard: str = "") -> None:
    """Create the objects in a file of examples/kubernetes. Admission policies apply only to namespaces with the label
    `guard`.
    """
    for raw in yaml.safe_load_all((EXAMPLES / name).read_text()):
        if raw["kind"].startswith("ValidatingAdmissionPolicy"):
            raw["metadata"]["name"] += f"-{guard}"  # both files use the same names
        if raw["kind"] == "ValidatingAdmissionPolicyBinding":
            raw["spec"]["policyName"] += f"-{guard}"
            raw["spec"]["matchResources"] = {"namespaceSelector": {"matchLabels": {"guard": guard}}}
        path = _COLLECTIONS[raw["kind"]].format(namespace=raw["metadata"].get("namespace"))
        if raw["kind"] != "Namespace" or plane.call("GET", f"{path}/{raw['metadata']['name']}").status == 404:
            plane.ok("POST", path, raw)


def wait_for_right(plane: kube.ControlPlane, user: str, verb: str, resource: str, namespace: str = "") -> None:
    """Wait until the server applies a permission that a user was just granted, in one namespace or in all."""
    attributes = {"verb": verb, "resource": resource, "namespace": namespace}
    review = {"spec": {"user": user, "resourceAttributes": attributes}}
    deadline = time.monotonic() + 10
    while not plane.ok("POST", REVIEWS, review)["status"]["allowed"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_policies(plane: kube.ControlPlane) -> None:
    """Wait until the server enforces new policies, which takes about a second."""
    for guard in (WRITER_POLICIES, KUBELET_POLICIES):
        _wait_for_policy(Area(plane, guard))


def _wait_for_policy(area: "Area") -> None:
    raw = worlds.raw_pod(namespace=area.namespace, on=area.node, annotations={worlds.ANNOTATION: "[]"})
    raw["metadata"].pop("uid")
    deadline = time.monotonic() + 30
    while area.plane.call("POST", f"/api/v1/namespaces/{area.namespace}/pods?dryRun=All", raw).status < 300:
        assert time.monotonic() < deadline, "the admission policies deny nothing"
        time.sleep(0.05)


@dataclass
class Area:
    """An area. guard: the admission policies of the examples that apply in it, if any."""

    plane: kube.ControlPlane
    guard: str = ""
    number: int = field(default_factory=lambda: next(_numbers))
    node_uid: str = ""

    def __post_init__(self) -> None:
        metadata = {"name": self.namespace, "labels": {"guard": self.guard}}
        self.plane.ok("POST", "/api/v1/namespaces", {"metadata": metadata})
        self.node_uid = self.add_node(self.node)["metadata"]["uid"]

    @property
    def namespace(self) -> str:
        return f"t{self.number}"

    @property
    def node(self) -> str:
        return f"node-{self.number}"

    # --- who asks

    def token(self, node: str | None = None, *, bound: bool = True) -> str:
        """Return a token of the ServiceAccount, bound to the area's node by default."""
        name = node or self.node
        spec: dict[str, Any] = {"expirationSeconds": 3600}
        if bound:
            uid = self.plane.ok("GET", f"/api/v1/nodes/{name}")["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
        return str(self.plane.ok("POST", ACCOUNT, {"spec": spec})["status"]["token"])

    def kubeconfig(self, **cluster: Any) -> Path:
        """Write a kubeconfig with the credentials of nplconf on the area's node."""
        return self.plane.kubeconfig(self.node, {"token": self.token()}, **cluster)

    def grant(self, user: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """Grant a user permissions in the whole cluster until the block ends."""
        subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user}
        metadata = {"metadata": {"name": user}}
        self.plane.ok("POST", _COLLECTIONS["ClusterRole"], metadata | {"rules": list(rules)})
        self.plane.ok("POST", _COLLECTIONS["ClusterRoleBinding"], metadata | {"roleRef": role, "subjects": [subject]})
        wait_for_right(self.plane, user, rules[0]["verbs"][0], rules[0]["resources"][0])

    def revoke(self, user: str) -> None:
        for kind in ("ClusterRoleBinding", "ClusterRole"):
            self.plane.ok("DELETE", f"{_COLLECTIONS[kind]}/{user}")

    # --- what is there

    def add_node(self, name: str, addresses: Sequence[tuple[str, str]] = worlds.ADDRESSES) -> dict[str, Any]:
        raw = worlds.raw_node(name, addresses)
        raw["metadata"].pop("uid")
        made = self.plane.ok("POST", "/api/v1/nodes", {"metadata": {"name": name}})
        self.plane.ok("PATCH", f"/api/v1/nodes/{name}/status", {"status": raw["status"]})
        return made

    def pod(self, name: str = "web-0", ips: Sequence[str] = ("10.244.3.17",), **facts: Any) -> dict[str, Any]:
        """Create a running Pod, as the scheduler and the kubelet would. Keywords are those of `worlds.raw_pod`."""
        return self.create_pod(worlds.raw_pod(name, ips, namespace=self.namespace, **{"on": self.node, **facts}))

    def create_pod(self, raw: Mapping[str, Any], *, token: str | None = None) -> dict[str, Any]:
        metadata = {k: v for k, v in raw["metadata"].items() if k != "uid"} | {"namespace": self.namespace}
        self.plane.ok("POST", self._pods, {**raw, "metadata": metadata}, token=token)
        return self.status(metadata["name"], raw["status"])

    def status(self, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Merge into a Pod's status, as its kubelet would."""
        return self.plane.ok("PATCH", f"{self._pods}/{name}/status", {"status": status})

    def service(self, name: str = "web", ports: Any = ((80, 8080, "TCP"),), **facts: Any) -> dict[str, Any]:
        raw = worlds.raw_service(name, ports, namespace=self.namespace, **facts)
        return self.create_service(raw)

    def create_service(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        metadata = {k: v for k, v in raw["metadata"].items() if k != "uid"} | {"namespace": self.namespace}
        rows = [{"name": f"p{i}", **row} for i, row in enumerate(raw["spec"]["ports"])]
        return self.plane.ok(
            "POST", self._services, {**raw, "metadata": metadata, "spec": {**raw["spec"], "ports": rows}}
        )

    def get(self, name: str) -> dict[str, Any]:
        return self.plane.ok("GET", f"{self._pods}/{name}")

    def annotation(self, name: str = "web-0") -> str | None:
        """Return the Pod's annotation; None without the key."""
        return worlds.raw_annotation(self.get(name))

    def annotate(self, name: str, value: str | None, key: str = worlds.ANNOTATION, kind: str = "pods") -> kube.Answer:
        """Set the annotation as an administrator."""
        body = {"metadata": {"annotations": {key: value}}}
        return self.plane.call("PATCH", f"/api/v1/namespaces/{self.namespace}/{kind}/{name}", body)

    def delete(self, name: str, kind: str = "pods") -> None:
        self.plane.ok("DELETE", f"/api/v1/namespaces/{self.namespace}/{kind}/{name}", {"gracePeriodSeconds": 0})

    def events(self) -> list[dict[str, Any]]:
        """Return the Events of nplconf. (A server that allocates a ClusterIP slowly posts Events, too.)"""
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        return [raw for raw in self.plane.ok("GET", path)["items"] if "nplconf" in raw["reportingController"]]

    @property
    def _pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    @property
    def _services(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/services"
