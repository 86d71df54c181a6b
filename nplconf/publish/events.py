"""The Events of Pods and Services: one per change of a reason. The state file stores what was announced."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from typing import NamedTuple

from nplconf.lists import listed
from nplconf.model import ANNOTATION, ClusterState, Event, Plan, Pod, PodRef, Skipped
from nplconf.publish import annotation
from nplconf.publish.annotation import Entry

MOST = 50
"""The most Events of one run. Later runs announce the rest: after a start with many Pods, mappings are more urgent."""
WAITING = 1000
"""The most waiting Events whose age is stored. Others count as new in the next run."""
Announced = Mapping[str, str]
"""The last announced value by topic."""
Planned = Callable[[PodRef], set[Entry]]
"""Returns the entries that the last plan had for a Pod."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run. annotations: the current annotation of each of this node's Pods."""

    plan: Plan
    cluster: ClusterState
    annotations: Mapping[PodRef, str | None] = field(hash=False)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The Pods of the node, with the annotations that the run found."""
        return tuple(pod for pod in self.cluster.pods if pod.ref in self.annotations)


class Due(NamedTuple):
    """The Events to create.

    Attributes:
        events: The Events, at most `MOST`.
        after: What is announced once they are created.
        waiting: The topics of those that wait, oldest first.
    """

    events: tuple[Event, ...]
    after: dict[str, str]
    waiting: tuple[str, ...] = ()


def due(outcome: Outcome, last: Plan | None, announced: Announced, waiting: Sequence[str] = ()) -> Due:
    """Return the Events to create, at most `MOST`, each namespace in turn and the oldest first.

    Args:
        outcome: The result of the run.
        last: The plan of the run before. None in the first run, which cannot tell who wrote an annotation.
        announced: What was announced before.
        waiting: The topics that the run before left for later, oldest first.
    """
    new: list[Event] = []
    after: dict[str, str] = {}
    for event in _all(outcome, last, announced):
        if announced.get(event.topic) == event.value:
            after[event.topic] = event.value
        elif isinstance(event, Event):
            new.append(event)
    age = {topic: place for place, topic in enumerate(waiting)}
    order = _in_turn(sorted(new, key=lambda event: age.get(event.topic, len(age))))
    events, later = order[:MOST], order[MOST:]
    after |= {event.topic: event.value for event in events}
    after |= {event.topic: announced[event.topic] for event in later if event.topic in announced}
    left = sorted((event.topic for event in later), key=lambda topic: age.get(topic, len(age)))
    return Due(tuple(events), after, tuple(left[:WAITING]))


def _in_turn(events: Iterable[Event]) -> list[Event]:
    """Return the Events, one of each namespace in turn. The namespace with the oldest Event begins."""
    queues: dict[str, list[Event]] = {}
    for event in events:
        queues.setdefault(event.namespace, []).append(event)
    rounds = zip_longest(*queues.values())
    return [event for one in rounds for event in one if event]


def unannounced(after: Announced, announced: Announced, failed: Iterable[Event]) -> dict[str, str]:
    """Return what is announced if these Events could not be created."""
    lost = {event.topic for event in failed}
    return {t: v for t, v in after.items() if t not in lost} | {t: announced[t] for t in lost if t in announced}


class _Known(NamedTuple):
    """An Event that was announced. Its note is not made again: of 1,000 Pods that would take 10 ms in every run."""

    topic: str
    value: str


def _all(outcome: Outcome, last: Plan | None, announced: Announced) -> Iterator[Event | _Known]:
    """Yield an Event for everything that holds now. Those announced before must stay in the state file."""
    planned = _planned(last)
    for pod in outcome.pods:
        if last and (note := _forged(pod, planned, announced)):
            yield _event(
                pod.ref, "forged", annotation.digest(pod.annotation or ""), "AnnotationForged", note, warning=True
            )
        elif (topic := _topic(pod.ref, "forged")) in announced:  # an equal state is not written again
            yield _event(pod.ref, "forged", announced[topic], "AnnotationForged", _FORGED, warning=True)
        yield from _mapped(pod.ref, outcome.annotations.get(pod.ref), announced)
    yield from _skipped(outcome)


# --- mapped, and forged ----------------------------------------------------------------------------------------------

_FORGED = f"the annotation {ANNOTATION} was not written by nplconf: it is put right"
_REMOVED = f"the annotation {ANNOTATION} was removed, and not by nplconf: it is put right"


def _event(pod: PodRef, topic: str, value: str, reason: str, note: str, *, warning: bool = False) -> Event:
    return Event("Pod", pod.namespace, pod.name, pod.uid, _topic(pod, topic), value, reason, note, warning)


def _mapped(pod: PodRef, text: str | None, announced: Announced) -> Iterator[Event | _Known]:
    """Yield the Event of a published Pod. text: its annotation."""
    topic, value = _topic(pod, "mapped"), annotation.digest(text)
    if announced.get(topic) == value:
        yield _Known(topic, value)
    elif entries := annotation.parse(text):
        yield _event(pod, "mapped", value, "NodePortMapped", _where(entries))


def _topic(pod: PodRef, what: str) -> str:
    return f"{pod.key} {pod.uid} {what}"


def _planned(last: Plan | None) -> Planned:
    """Return a function that gives the last plan's entries of a Pod. They are collected on its first call only."""

    @cache
    def by_pod() -> dict[PodRef, set[Entry]]:
        found: dict[PodRef, set[Entry]] = {}
        for mapping in last.mappings if last else ():
            found.setdefault(mapping.pod, set()).add(annotation.entry(mapping))
        return found

    return lambda pod: by_pod().get(pod, set())


def _forged(pod: Pod, planned: Planned, announced: Announced) -> str:
    """Return the note if another program changed the annotation; "" otherwise.

    It was changed if it is neither the announced one nor a part of the last plan.
    """
    text, written = pod.annotation, announced.get(_topic(pod.ref, "mapped"))
    if text is None:
        return _REMOVED if written else ""
    if written == annotation.digest(text):
        return ""
    found = annotation.parse(text)
    own = bool(found) or not written  # nplconf would not have replaced its entries by []
    return "" if own and planned(pod.ref).issuperset(found) and annotation.canonical(text) else _FORGED


def _where(entries: Iterable[Entry]) -> str:
    pairs = (f"{e.pod_port}/{e.protocol} at {_address(e)}:{e.node_port}" for e in entries)
    return f"reachable: {listed(pairs)}"


def _address(entry: Entry) -> str:
    return f"[{entry.node_ip}]" if entry.family == "IPv6" else entry.node_ip


# --- skipped ---------------------------------------------------------------------------------------------------------


def _skipped(outcome: Outcome) -> Iterator[Event]:
    """Yield one Event for each Pod port (or Service) and Service, even if both families are skipped."""
    pods = {pod.ref.key: pod.ref for pod in outcome.pods}
    services = cache(lambda: {service.key: service for service in outcome.cluster.services})
    rows: dict[tuple[str | None, str], list[Skipped]] = {}
    for row in outcome.plan.skipped:
        rows.setdefault((row.pod, f"{row.pod_port}/{row.protocol} {row.service}"), []).append(row)
    for (key, what), found in rows.items():
        first = found[0]
        if key in pods:
            more = f" and {first.more:,} more" if first.more else ""
            port = f"{first.pod_port} ({first.protocol}){more}"
            note = f"{port} of Service {first.service} is not mapped: {first.message}"
            yield _event(pods[key], what, _reasons(found), _camel(first.reason), note, warning=True)
        elif key is None and (service := services().get(first.service)):
            topic = f"{service.key} {service.uid} {what}"
            where = (service.namespace, service.name, service.uid, topic, _reasons(found))
            yield Event("Service", *where, _camel(first.reason), first.message, warning=True)


def _reasons(rows: list[Skipped]) -> str:
    return "+".join(sorted({row.reason for row in rows}))


def _camel(reason: str) -> str:
    return "".join(word.capitalize() for word in reason.split("-"))
