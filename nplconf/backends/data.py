"""The list of backends as the JSON document; templates get the same values."""

from typing import Any

from nplconf.backends.model import Backend, Collected, ServiceBackends
from nplconf.model import PodRef


def document(found: Collected) -> dict[str, Any]:
    """Return everything as plain data, in a fixed order."""
    return {
        "services": [_service(row) for row in found.services],
        "lint": [one._asdict() for one in found.lint],
    }


def identifier(row: ServiceBackends) -> str:
    """Return a name for a Service port that load balancers accept. Names of Kubernetes have no `_`."""
    return f"{row.namespace}_{row.service}_{row.port}" + ("" if row.protocol == "tcp" else f"_{row.protocol}")


def _service(row: ServiceBackends) -> dict[str, Any]:
    return {
        "id": identifier(row),
        "namespace": row.namespace,
        "service": row.service,
        "port": row.port,
        "protocol": row.protocol,
        "targetPort": row.target,
        "backends": [_backend(backend) for backend in row.backends],
        "withdrawn": [{"pod": _pod(one.pod), "node": one.node} for one in row.withdrawn],
    }


def _backend(backend: Backend) -> dict[str, Any]:
    return {
        "name": backend.name,
        "address": backend.address,
        "nodePort": backend.node_port,
        "ipFamily": backend.family,
        "pod": _pod(backend.pod),
        "node": backend.node,
        "podPort": backend.pod_port,
        "weight": backend.weight,
        "draining": backend.draining,
    }


def _pod(pod: PodRef) -> dict[str, str]:
    return {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
