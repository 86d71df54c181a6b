"""The annotation patches: the annotations of Pods compared with the mappings to publish."""

from collections.abc import Iterable, Mapping

from nplconf.cache import Cache
from nplconf.model import Condition, Patch, Pod, PodRef, PortMapping
from nplconf.publish import annotation
from nplconf.publish.annotation import DEFAULT, Form


def final(
    pods: Iterable[Pod],
    mappings: Iterable[PortMapping],
    form: Form = DEFAULT,
    conditions: Mapping[PodRef, Condition] | None = None,
    cache: Cache | None = None,
) -> tuple[Patch, ...]:
    """Return the patches after which each Pod's annotation lists exactly its mappings, sorted by Pod.

    Args:
        pods: The Pods of this node, as they are now.
        mappings: The mappings to publish.
        form: How annotations are written.
        conditions: The conditions to write in the same patches.
        cache: Results of earlier runs.
    """
    due = conditions or {}
    here, by_pod = tuple(pods), _by_pod(mappings)
    correct = (cache or Cache()).table("correct annotations", len(here), form)
    found = []
    for pod in here:
        rows, text = by_pod.get(pod.ref), pod.annotation
        if correct.get(pod.ref) != (rows, text):
            text = annotation.text(annotation.published(rows or (), form), text, form)
            correct[pod.ref] = rows, text
        new = due.get(pod.ref)
        if text != pod.annotation or new:
            changes = new is not None and (pod.condition is None or pod.condition.status != new.status)
            found.append(Patch(pod.ref, text, new, same=text == pod.annotation, transition=changes))
    return tuple(sorted(found, key=lambda p: p.pod))


def withdrawals(pods: Iterable[Pod], mappings: Iterable[PortMapping], form: Form = DEFAULT) -> tuple[Patch, ...]:
    """Return the patches that remove entries before their rules are deleted. They add no entry.

    Only Pods with such an entry get a patch, so that no annotation names a missing rule.
    """
    by_pod = _by_pod(mappings)
    found = []
    for pod in pods:
        now = annotation.parse(pod.annotation)
        keep = set(annotation.published(by_pod.get(pod.ref, ()), form))
        if any(e not in keep for e in now):
            left = sorted({e for e in now if e in keep})
            found.append(Patch(pod.ref, annotation.text(left, pod.annotation, form)))
    return tuple(sorted(found, key=lambda p: p.pod))


def _by_pod(mappings: Iterable[PortMapping]) -> dict[PodRef, list[PortMapping]]:
    found: dict[PodRef, list[PortMapping]] = {}
    for mapping in mappings:
        found.setdefault(mapping.pod, []).append(mapping)
    return found
