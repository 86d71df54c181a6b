"""The life of a mapping: one pure function from the Pod, the plan and the clock to a state.

Timer and watch mode use it alike. nplconf/README.md has it as a table.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from nplconf.model import Pod, PodRef, PortMapping

State = Literal["wanted", "in-place", "published", "draining", "lingering", "ended"]
"""The states of a mapping, in order. Once it has ended its number cools down, see `plan.cooling`."""


class Terms(NamedTuple):
    """What the administrator decides.

    Attributes:
        withdraw_when: When the annotation of a deleted Pod is withdrawn.
        publish_when: When a Pod is published for the first time.
        linger: Seconds for which the rule of a withdrawn mapping stays while its Pod lives.

    """

    withdraw_when: Literal["terminating", "gone"] = "terminating"
    publish_when: Literal["running", "containers-ready"] = "running"
    linger: float = 0.0


class Facts(NamedTuple):
    """What is known of one mapping.

    Attributes:
        pod: The Pod with its UID and address on this node; None where it is gone.
        asked: The plan has the mapping.
        there: Its rule was seen in place.
        denied: A policy denies it.
        since: Since when nothing asks for it: seconds, boot-time clock.

    """

    pod: Pod | None
    asked: bool
    there: bool = True
    denied: bool = False
    since: float = 0.0


def state(facts: Facts, terms: Terms, now: float) -> State:
    """Return the state of a mapping. now: seconds, boot-time clock."""
    pod = facts.pod
    if pod is None or pod.terminated or (facts.denied and not facts.asked):
        return "ended"
    if pod.terminating:
        return "draining"
    if not facts.asked:
        return "lingering" if now - facts.since < terms.linger else "ended"
    if not facts.there:
        return "wanted"
    return "in-place" if waits(pod, terms) else "published"


def is_listed(found: State, terms: Terms, *, asked: bool) -> bool:
    """Whether a mapping in this state is in the annotation of its Pod."""
    return found == "published" or (found == "draining" and asked and terms.withdraw_when == "gone")


def waits(pod: Pod, terms: Terms) -> bool:
    """Whether a Pod waits for its containers. A Pod that has the annotation was published before, and stays so.

    The readiness gate is no part of ContainersReady, so the two never wait for each other.
    """
    return terms.publish_when == "containers-ready" and not pod.containers_ready and pod.annotation is None


class Living(NamedTuple):
    """Live mappings that no row of the plan replaces, and whose rules stay.

    Attributes:
        states: Their states: draining or lingering.
        since: Since when nothing asks for them, of the lingering ones; `name` of each -> seconds, boot-time clock.

    """

    states: Mapping[PortMapping, State]
    since: Mapping[str, float]


NOTHING = Living({}, {})


def unasked(
    live: Iterable[tuple[PortMapping, bool]],
    pods: Iterable[Pod],
    since: Mapping[str, float],
    terms: Terms,
    now: float,
) -> Living:
    """Return the live mappings that nothing asks for and whose rules stay.

    Args:
        live: The mappings, each with whether a policy denies it.
        pods: This node's Pods.
        since: What the last run has recorded.
        terms: What the administrator decides.
        now: Seconds, boot-time clock.

    """
    by_ref: dict[PodRef, Pod] = {}
    states: dict[PortMapping, State] = {}
    recorded: dict[str, float] = {}
    for mapping, denied in live:
        by_ref = by_ref or {pod.ref: pod for pod in pods}
        pod = by_ref.get(mapping.pod)
        began = min(since.get(name(mapping), now), now)
        here = pod if pod and mapping.pod_ip in pod.ips else None
        found = state(Facts(here, asked=False, denied=denied, since=began), terms, now)
        if found != "ended":
            states[mapping] = found
        if found == "lingering":
            recorded[name(mapping)] = began
    return Living(states, recorded)


def asked_for(rows: Iterable[PortMapping], pods: Iterable[Pod], terms: Terms, now: float) -> dict[PortMapping, State]:
    """Return the states of the rows of Pods that drain or wait for their containers. All others are to be published."""
    special = {pod.ref: pod for pod in pods if pod.terminating or waits(pod, terms)}
    if not special:
        return {}
    there = ((row, special[row.pod]) for row in rows if row.pod in special)
    return {row: state(Facts(pod, asked=True), terms, now) for row, pod in there}


def next_end(since: Mapping[str, float], terms: Terms, now: float) -> float | None:
    """Return the seconds until the next lingering mapping ends; None where none lingers."""
    return max(0.0, min(since.values()) + terms.linger - now) if since else None


def name(mapping: PortMapping) -> str:
    """Return what the state file calls a mapping of one Pod."""
    return f"{mapping.protocol}/{mapping.node_port}/{mapping.family} {mapping.pod.uid}"
