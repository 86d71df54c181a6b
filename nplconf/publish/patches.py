"""Which annotations must be written: those that Pods have, compared with the mappings that are published."""

from collections.abc import Iterable, Mapping

from nplconf.model import Condition, Patch, Pod, PodRef, PortMapping
from nplconf.publish import annotation
from nplconf.publish.annotation import DEFAULT, Form


def final(
    pods: Iterable[Pod],
    mappings: Iterable[PortMapping],
    form: Form = DEFAULT,
    conditions: Mapping[PodRef, Condition] | None = None,
) -> tuple[Patch, ...]:
    """Return what makes every Pod's annotation list exactly its mappings; a Pod that is right already is left alone.

    Sorted by Pod.

    Args:
        pods: Those of this node, as they are now.
        mappings: What is published.
        form: How annotations are written.
        conditions: The conditions to write with them.

    """
    due = conditions or {}
    by_pod = _by_pod(mappings)
    found = []
    for pod in pods:
        text = annotation.text(annotation.published(by_pod.get(pod.ref, ()), form), pod.annotation, form)
        new = due.get(pod.ref)
        if text != pod.annotation or new:
            changes = new is not None and (pod.condition is None or pod.condition.status != new.status)
            found.append(Patch(pod.ref, text, new, same=text == pod.annotation, transition=changes))
    return tuple(sorted(found, key=lambda p: p.pod))


def withdrawals(pods: Iterable[Pod], mappings: Iterable[PortMapping], form: Form = DEFAULT) -> tuple[Patch, ...]:
    """What takes the entries away that are not to stay, before their rules go; entries to come are not added yet.

    Only a Pod that has such an entry is named: nobody is told to go where nothing is any more.
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
