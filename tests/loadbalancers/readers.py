"""AKO and F5 CIS as small models: what each one reads of the Pods, and which members its pool has then.

AKO ignores a Pod event without the annotation's key, and every update while a container is terminated. From 1.13 on it
follows the EndpointSlice, too. F5 has no memory and ignores readiness: while one endpoint is ready, every annotated Pod
is a member. Both ignore the protocol.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, Protocol

from nplconf.model import Pod


class Member(NamedTuple):
    """A member of a pool."""

    pod: str
    pod_port: int
    node_ip: str
    node_port: int


class Reader(Protocol):
    """What a load balancer makes of the Pods, one state of the cluster after another."""

    def look(self, pods: tuple[Pod, ...]) -> set[Member]:
        """Read the Pods as they are now; the members of the pool."""


def entries(pod: Pod) -> set[Member]:
    """Return what the annotation of a Pod publishes."""
    return set(_entries(pod.ref.name, pod.annotation or "[]"))


@cache
def _entries(name: str, annotation: str) -> frozenset[Member]:
    rows = json.loads(annotation)
    return frozenset(Member(name, row["podPort"], row["nodeIP"], row["nodePort"]) for row in rows)


def is_endpoint(pod: Pod) -> bool:
    """Return whether the EndpointSlice has a Pod as ready."""
    return pod.ready and not pod.terminating


@dataclass
class Ako:
    """AKO from 1.13 on. It remembers what it read of each Pod; an endpoint that is not ready is disabled."""

    known: dict[str, set[Member]] = field(default_factory=dict)

    def look(self, pods: tuple[Pod, ...]) -> set[Member]:
        """See `Reader`."""
        here = {pod.ref.name: pod for pod in pods}
        for name in [name for name in self.known if name not in here]:
            del self.known[name]  # the deletion of a Pod that had the key
        for name, pod in here.items():
            if pod.annotation is not None and not pod.containers_ended:
                self.known[name] = entries(pod)
        return {member for name, found in self.known.items() if is_endpoint(here[name]) for member in found}


@dataclass
class OldAko:
    """AKO up to 1.12. It watches no endpoints: a Pod event that it takes rebuilds the pool from the Ready Pods."""

    taken: dict[str, Pod] = field(default_factory=dict)
    pool: set[Member] = field(default_factory=set)

    def look(self, pods: tuple[Pod, ...]) -> set[Member]:
        """See `Reader`."""
        here = {pod.ref.name: pod for pod in pods}
        events = {name: pod for name, pod in here.items() if pod.annotation is not None and not pod.containers_ended}
        known = {name: pod for name, pod in self.taken.items() if name in here} | events
        if known != self.taken:
            self.taken = known
            self.pool = {member for name, pod in known.items() if here[name].ready for member in entries(pod)}
        return self.pool


@dataclass
class F5:
    """F5 CIS with `--pool-member-type=nodeportlocal`."""

    def look(self, pods: tuple[Pod, ...]) -> set[Member]:
        """See `Reader`."""
        return {member for pod in pods for member in entries(pod)} if any(map(is_endpoint, pods)) else set()
