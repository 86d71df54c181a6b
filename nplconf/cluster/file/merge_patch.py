"""What an API server makes of a patch of a Pod's annotation: a JSON merge patch that carries metadata.uid."""

from collections.abc import Mapping
from typing import Any

from nplconf.cluster.objects import uid_of
from nplconf.model import ANNOTATION, Patch

ANNOTATIONS_BYTES = 256 * 1024
"""What the keys and values of one object's annotations may add up to."""


def annotated(raw: Mapping[str, Any], patch: Patch) -> dict[str, Any] | str:
    """The Pod as it is after the patch, or why the patch is refused. raw itself is not touched."""
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
    return {**raw, "metadata": metadata}


def _size(annotations: Mapping[str, Any]) -> int:
    texts = (text for pair in annotations.items() for text in pair if isinstance(text, str))
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
