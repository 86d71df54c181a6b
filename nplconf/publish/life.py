"""The life cycle of a mapping: one pure function from the Pod, the plan and the clock to a state.

Timer and watch mode both use it. nplconf/README.md shows it as a table.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from nplconf.model import Pod, PodRef, PortMapping

State = Literal["wanted", "in-place", "published", "draining", "lingering", "alias", "ended"]
"""The states of a mapping, in order. After the last one its port cools down, see `plan.cooling`. An alias
(`run.aliases`) has no other state.
"""


class Terms(NamedTuple):
    """The administrator's choices.

    Attributes:
        withdraw_when: When the annotation of a deleted Pod is withdrawn.
        publish_when: When a Pod is published for the first time.
        linger: Seconds for which the rule of a withdrawn mapping stays while its Pod runs.
    """

    withdraw_when: Literal["terminating", "gone"] = "terminating"
    publish_when: Literal["running", "containers-ready"] = "running"
    linger: float = 0.0


class MappingFacts(NamedTuple):
    """The facts about one mapping.

    Attributes:
        pod: The Pod with its UID and address on this node; None if it is gone.
        asked: The plan has the mapping.
        there: Its rule was verified in the kernel.
        denied: A policy denies it.
        since: When its request ended, in seconds of the boot-time clock.
    """

    pod: Pod | None
    asked: bool
    there: bool = True
    denied: bool = False
    since: float = 0.0


def state(facts: MappingFacts, terms: Terms, now: float) -> State:
    """Return the state of a mapping. now: seconds of the boot-time clock."""
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
    """Return whether the Pod's annotation lists a mapping in this state."""
    return found == "published" or (found == "draining" and asked and terms.withdraw_when == "gone")


def waits(pod: Pod, terms: Terms) -> bool:
    """Return whether a Pod waits for its containers. A Pod with an annotation was published before and stays published.

    The readiness gate is not part of ContainersReady, so neither waits for the other.
    """
    return terms.publish_when == "containers-ready" and not pod.containers_ready and pod.annotation is None


class Living(NamedTuple):
    """Live mappings that no row of the plan replaces and whose rules stay.

    Attributes:
        states: Their states: draining or lingering.
        since: When the request of each lingering mapping ended, by `name`, in seconds of the boot-time clock.
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
    """Return the live mappings without a request whose rules stay.

    Args:
        live: The mappings, each with whether a policy denies it.
        pods: This node's Pods.
        since: The times that the last run stored.
        terms: The administrator's choices.
        now: Seconds of the boot-time clock.
    """
    by_ref: dict[PodRef, Pod] = {}
    states: dict[PortMapping, State] = {}
    recorded: dict[str, float] = {}
    for mapping, denied in live:
        by_ref = by_ref or {pod.ref: pod for pod in pods}
        pod = by_ref.get(mapping.pod)
        began = min(since.get(name(mapping), now), now)
        here = pod if pod and mapping.pod_ip in pod.ips else None
        found = state(MappingFacts(here, asked=False, denied=denied, since=began), terms, now)
        if found != "ended":
            states[mapping] = found
        if found == "lingering":
            recorded[name(mapping)] = began
    return Living(states, recorded)


def asked_for(rows: Iterable[PortMapping], pods: Iterable[Pod], terms: Terms, now: float) -> dict[PortMapping, State]:
    """Return the states of rows whose Pods drain or wait for their containers. All other rows are to be published."""
    special = {pod.ref: pod for pod in pods if pod.terminating or waits(pod, terms)}
    if not special:
        return {}
    there = ((row, special[row.pod]) for row in rows if row.pod in special)
    return {row: state(MappingFacts(pod, asked=True), terms, now) for row, pod in there}


def next_end(since: Mapping[str, float], terms: Terms, now: float) -> float | None:
    """Return the seconds until the next lingering mapping ends; None without one."""
    return max(0.0, min(since.values()) + terms.linger - now) if since else None


def name(mapping: PortMapping) -> str:
    """Return the key of a mapping in the state file."""
    return f"{mapping.protocol}/{mapping.node_port}/{mapping.family} {mapping.pod.uid}"
