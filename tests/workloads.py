"""Objects of workloads for a real node (kubenode.py), as a user writes them in a manifest."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubenode_files import IMAGE

from nplconf.model import ENABLED

PORT = 8080


def deployment(
    name: str,
    namespace: str,
    *,
    replicas: int = 2,
    version: str = "1",
    gates: Sequence[str] = (),
    grace: int = 1,
    pre_stop: int = 0,
) -> dict[str, Any]:
    """A Deployment whose Pods answer with their name and the client's address (`KubeNode.client`).

    Args:
        name: Also the value of the label "app" of its Pods.
        namespace: An existing namespace.
        replicas: Number of Pods.
        version: A change of it is a rollout.
        gates: Condition types of readiness gates.
        grace: Seconds a Pod may take to end.
        pre_stop: Seconds that a Pod goes on answering after its deletion.
    """
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["/bin/httpd", "-f", "-p", str(PORT), "-h", "/www"],
        "env": [{"name": "VERSION", "value": version}],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/cgi-bin/who", "port": "http"}, "periodSeconds": 1},
    }
    if pre_stop:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": pre_stop}}}
    spec = {
        "containers": [container],
        "terminationGracePeriodSeconds": grace,
        "readinessGates": [{"conditionType": gate} for gate in gates],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def service(name: str, namespace: str, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A Service of both families that asks for mappings of the Pods of `deployment`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": {ENABLED: "true", **(annotations or {})}},
        "spec": {
            "ipFamilyPolicy": "PreferDualStack",
            "selector": {"app": name},
            "ports": [{"port": 80, "targetPort": "http"}],
        },
    }
