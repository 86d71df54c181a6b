"""The annotation patches: the annotations of Pods compared with the mappings to publish."""

from collections.abc import Iterable, Mapping
from typing import Any

from nplconf.cache import Cache
from nplconf.model import Condition, Patch, Pod, PodRef, PortMapping
from nplconf.publish import annotation
from nplconf.publish.annotation import DEFAULT, Form
from nplconf.sequences import FEW, replaced


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
    here, due = tuple(pods), conditions or {}
    outdated = (cache or Cache()).last(_outdated, here, tuple(mappings), form, adapt=_adapt)
    texts = {pod.ref: text for pod, text in outdated}
    right = [(pod, pod.annotation) for pod in here if pod.ref in due and pod.ref not in texts] if due else []
    found = (_patch(pod, text, due.get(pod.ref)) for pod, text in (*outdated, *right))
    return tuple(sorted(found, key=lambda p: p.pod))


def _patch(pod: Pod, text: str | None, new: Condition | None) -> Patch:
    changes = new is not None and (pod.condition is None or pod.condition.status != new.status)
    return Patch(pod.ref, text, new, same=text == pod.annotation, transition=changes)


_Outdated = tuple[tuple[Pod, str | None], ...]
"""Pods whose annotation is outdated, each with the right one."""


def _outdated(pods: Iterable[Pod], mappings: Iterable[PortMapping], form: Form) -> _Outdated:
    by_pod = _by_pod(mappings)
    right = ((pod, annotation.published(by_pod.get(pod.ref, ()), form)) for pod in pods)
    texts = ((pod, annotation.text(entries, pod.annotation, form)) for pod, entries in right)
    return tuple((pod, text) for pod, text in texts if text != pod.annotation)


def _adapt(before: tuple[Any, ...], earlier: _Outdated, now: tuple[Any, ...]) -> _Outdated | None:
    """Return what `_outdated` returns if few Pods and mappings have changed. See `cache.Adapt`."""
    (pods, mappings, form), (pods_before, mappings_before, form_before) = now, before
    refs = {pod.ref for pod in replaced(pods_before, pods).all}
    refs |= {mapping.pod for mapping in replaced(mappings_before, mappings).all}
    if form != form_before or FEW * len(refs) > len(pods):
        return None
    names = {ref.name for ref in refs}  # a name is found faster than a reference
    there = [pod for pod in pods if pod.ref.name in names and pod.ref in refs]
    rows = [mapping for mapping in mappings if mapping.pod.name in names]
    return (*((pod, text) for pod, text in earlier if pod.ref not in refs), *_outdated(there, rows, form))


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
