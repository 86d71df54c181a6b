"""The patch of one Pod as a request to the API server, and the meaning of its response."""

import json
from urllib.parse import quote

from nplconf.cluster.api.answers import ApiRefusal, InvalidResponseError, decoded, refusal
from nplconf.cluster.api.transport import Reply
from nplconf.cluster.conditions import condition
from nplconf.model import ANNOTATION, Failure, Patch

STEP = "publish"
# of the Pod that comes back only its metadata is of interest, a tenth of it
_ACCEPT = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


def path(patch: Patch) -> str:
    """Return the path: nplconf may write a Pod's status, not its spec."""
    return f"/api/v1/namespaces/{quote(patch.pod.namespace, safe='')}/pods/{quote(patch.pod.name, safe='')}/status"


def headers(patch: Patch) -> dict[str, str]:
    """With a condition it is a strategic merge patch: a JSON merge patch would remove the kubelet's conditions."""
    kind = "strategic-merge-patch" if patch.condition else "merge-patch"
    return {"Content_Type": f"application/{kind}+json", "Accept": _ACCEPT}


def body(patch: Patch, now: float = 0.0) -> bytes:
    """Return the patch. With its UID it is refused for a Pod that was created again under the same name.

    Args:
        patch: The annotation, and the condition where it is to be written.
        now: Seconds since 1970, for the condition's lastTransitionTime.

    """
    metadata: dict[str, object] = {"uid": patch.pod.uid}
    if not patch.same:
        metadata["annotations"] = {ANNOTATION: patch.annotation}
    found: dict[str, object] = {"metadata": metadata}
    if patch.condition:
        found["status"] = {"conditions": [condition(patch.condition, now if patch.transition else None)]}
    return json.dumps(found, separators=(",", ":")).encode()


def verdict(reply: Reply, patch: Patch) -> Failure | None:
    """Return why a patch failed, None if it is written. A Pod that is gone or new is no failure."""
    if reply.status == 200:
        return _confirmed(reply, patch)
    answer = refusal(reply)
    if answer is None:
        return _failure(patch, f"HTTP {reply.status}, and not from an API server")
    if reply.status == 404 and answer.reason == "NotFound" and answer.kind == "pods":
        return None
    if reply.status in (409, 422) and _replaced(answer):
        return None
    return Failure(STEP, patch.pod.key, _explained(reply.status, answer), refused=_denied(reply.status, answer))


def _confirmed(reply: Reply, patch: Patch) -> Failure | None:
    """Check that the response to a patch has what was sent. The status 200 alone proves nothing."""
    try:
        metadata = decoded(reply)["metadata"]
        found = (metadata.get("annotations") or {}).get(ANNOTATION)
        uid = metadata["uid"]
    except (InvalidResponseError, LookupError, TypeError, AttributeError):
        return _failure(patch, "the answer to the patch is no Pod: it may or may not have been written")
    if (uid, found) != (patch.pod.uid, patch.annotation):
        return _failure(patch, "the API server took the patch, and the annotation is not as it was to be")
    return None


def _replaced(answer: ApiRefusal) -> bool:
    """Return whether the Pod has another UID now: 422 with a cause, on some servers 409 about a precondition."""
    return "metadata.uid" in answer.causes or (answer.reason == "Conflict" and "uid" in answer.message.lower())


def _denied(status: int, answer: ApiRefusal) -> bool:
    """Return whether this Pod's patch is denied: by a policy, a webhook, or the size of its other annotations."""
    return status in (400, 403, 422) and not _unentitled(status, answer)


def _unentitled(status: int, answer: ApiRefusal) -> bool:
    """Return whether the right to patch is missing for all Pods, recognised by the authorizers' message."""
    return status == 403 and 'cannot patch resource "pods/status"' in answer.message


def _explained(status: int, answer: ApiRefusal) -> str:
    if "metadata.annotations" in answer.causes:
        return f"the Pod's annotations would be too long: {answer.message}"
    if _unentitled(status, answer):
        return f"the right to patch pods/status is missing: {answer.message}; see: nplconf example rbac"
    if status in (400, 403, 422):
        return f"denied: {answer.message}"
    return f"{status} {answer.message}"


def _failure(patch: Patch, message: str) -> Failure:
    return Failure(STEP, patch.pod.key, message)
