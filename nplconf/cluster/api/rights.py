"""The rights of these credentials, asked by SelfSubjectAccessReview, which every user may create."""

import json
from collections.abc import Callable
from typing import Any

from nplconf.cluster.api.answers import InvalidResponseError, decoded, refusal
from nplconf.cluster.api.transport import Reply
from nplconf.errors import UnavailableError
from nplconf.model import Right

PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Ask = Callable[[bytes], Reply]


def needed(node: str, *, events: bool) -> dict[str, dict[str, Any]]:
    """Return the requests of a run, in words and as attributes of a review."""
    own_pods = [{"key": "spec.nodeName", "operator": "In", "values": [node]}]
    found: dict[str, dict[str, Any]] = {
        "get nodes": {"verb": "get", "resource": "nodes", "name": node},
        "list pods": {"verb": "list", "resource": "pods", "fieldSelector": {"requirements": own_pods}},
        "list services": {"verb": "list", "resource": "services"},
        "patch pods/status": {"verb": "patch", "resource": "pods", "subresource": "status"},
    }
    if events:
        found["create events"] = {"verb": "create", "group": "events.k8s.io", "resource": "events"}
    return found


def reviewed(node: str, ask: Ask, *, events: bool) -> tuple[Right, ...]:
    """Return each request and whether it is allowed. Raises UnavailableError when the server does not answer."""
    return tuple(Right(what, _allowed(attributes, ask)) for what, attributes in needed(node, events=events).items())


def _allowed(attributes: dict[str, Any], ask: Ask) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    reply = ask(json.dumps(review).encode())
    if reply.status != 201:
        raise UnavailableError(f"Cannot check permissions: the API server answered {_answer(reply)}")
    try:
        return decoded(reply)["status"]["allowed"] is True
    except (InvalidResponseError, LookupError, TypeError) as err:
        raise UnavailableError(
            "Cannot check permissions: the API server's answer is not a SelfSubjectAccessReview"
        ) from err


def _answer(reply: Reply) -> str:
    if reply.status == 401:
        return "401 Unauthorized (token expired or invalid)"
    answer = refusal(reply)
    return f"{reply.status} {answer.message if answer else ''}".rstrip()
