"""Apply a patch of a Pod's annotation as an API server would: a JSON merge patch with metadata.uid."""

from collections.abc import Mapping
from typing import Any

from nplconf.cluster.conditions import condition
from nplconf.cluster.objects import uid_of
from nplconf.model import ANNOTATION, GATE, Patch

ANNOTATIONS_BYTES = 256 * 1024
"""What the keys and values of one object's annotations may add up to."""


def annotated(raw: Mapping[str, Any], patch: Patch, now: float = 0.0) -> dict[str, Any] | str:
    """Return the Pod as it is after the patch, or why the patch is refused. raw itself is not touched.

    now: seconds since 1970, for the condition's lastTransitionTime.
    """
    metadata = dict(raw["metadata"])
    if uid_of(metadata) != patch.pod.uid:
        return "metadata.uid has changed: the Pod was created again"
    before = metadata.get("annotations")
    annotations = dict(before) if isinstance(before, dict) else {}
    annotations.pop(ANNOTATION, None)
    if patch.annotation is not None:
        annotations[ANNOTATION] = patch.annotation
        if _size(annotations) > ANNOTATIONS_BYTES:
            return f"metadata.annotations would be larger than {ANNOTATIONS_BYTES} bytes"
    if annotations:
        # first, where kubectl prints it
        metadata = {"annotations": annotations, **{k: v for k, v in metadata.items() if k != "annotations"}}
    else:
        metadata.pop("annotations", None)
    return _conditioned({**raw, "metadata": metadata}, patch, now)


def _conditioned(raw: dict[str, Any], patch: Patch, now: float) -> dict[str, Any]:
    """Return the Pod with the patch's condition, as a strategic merge patch leaves it."""
    if patch.condition is None:
        return raw
    status = dict(raw["status"]) if isinstance(raw.get("status"), dict) else {}
    before = status.get("conditions")
    others = [one for one in before if isinstance(one, dict)] if isinstance(before, list) else []
    new = condition(patch.condition, now if patch.transition else None)
    known = [one for one in others if one.get("type") == GATE]
    merged = [one | new if one.get("type") == GATE else one for one in others]
    status["conditions"] = merged if known else [*merged, new]
    return {**raw, "status": status}


def _size(annotations: Mapping[str, Any]) -> int:
    texts = (text for pair in annotations.items() for text in pair if isinstance(text, str))
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
