"""The demand of Services for all Pods of a node: requests, limited by the free node ports, and skipped ports. Pure."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from typing import TYPE_CHECKING

from nplconf.cache import Cache
from nplconf.desired.hints import claimed_ports
from nplconf.desired.offers import Offer
from nplconf.desired.pods import PortRequest, Site
from nplconf.desired.ports import Previous
from nplconf.desired.requests import EVERYBODY, Audience, Bound, Requested, Rest, requests
from nplconf.desired.services import Selection, selecting
from nplconf.desired.shapes import Shape
from nplconf.desired.skips import Skips
from nplconf.model import Pod, PortRange

if TYPE_CHECKING:
    from nplconf.plan.policy import Policy

SHAPES = 256
"""How many shapes are stored at a time. Each has a list of all ports, and a Pod may have container ports of its own."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The requests for all Pods of a node.

    Attributes:
        requests: What may be served.
        rest: Ports for which there is no node port.
        skips: What is not served.

    """

    requests: list[PortRequest]
    rest: list[Rest]
    skips: Skips


def demand(
    selection: Selection,
    here: Iterable[Pod],
    site: Site,
    port_range: PortRange,
    policy: "Policy | None",
    past: Previous,
    cache: Cache | None = None,
) -> Demand:
    """Expand what Services ask, for each namespace up to the node ports that it could have.

    Args:
        selection: the Services.
        here: the Pods that run on the node, sorted by namespace/name.
        site: the node's addresses.
        port_range: the node ports there are.
        policy: who may have how many, and which clients may reach them.
        past: earlier allocations. Ports that had a node port are always expanded.
        cache: results of earlier runs.

    """
    found = Demand([], [], Skips())
    found.skips.add(selection.skipped)
    pods = tuple(here)
    before = (cache or Cache()).table("demand", len(pods), selection, site, policy)
    expander = _Expander(selection, site, _audiences(policy), _Known(policy, past), before)
    left: dict[str, int] = {}
    size = len(port_range)
    for pod in pods:
        selected = expander.selected(pod)
        if selected.shape is None:
            continue
        namespace = pod.ref.namespace
        room = left.get(namespace, size)
        asked = expander.requests(selected, selected.shape, min(room, policy.per_pod or room) if policy else room)
        left[namespace] = max(0, room - asked.new)
        found.requests.extend(asked.requests)
        if asked.rest or asked.skipped:
            found.rest.extend(asked.rest)
            found.skips.add_in_order(asked.skipped)
    return found


@dataclass(slots=True)
class _Selected:
    """A Pod and what Services ask of it.

    Attributes:
        pod: The Pod.
        offers: The Services that select it.
        shape: What they ask; None without a Service.
        whole: The requests for all ports, once they were expanded.

    """

    pod: Pod
    offers: tuple[Offer, ...]
    shape: Shape | None
    whole: Requested | None = None


class _Expander:
    """Expands what Services ask of one Pod. before: the Pods of earlier runs by `id`."""

    def __init__(
        self,
        selection: Selection,
        site: Site,
        audience: Callable[[str], Audience],
        known: "_Known",
        before: MutableMapping[int, _Selected],
    ) -> None:
        self._selection, self._site, self._audience = selection, site, audience
        self._known, self._before = known, before
        self._shape = lru_cache(maxsize=SHAPES)(Shape)

    def selected(self, pod: Pod) -> _Selected:
        """Return a Pod with what Services ask of it."""
        found = self._before.get(id(pod))
        if found is None or found.pod is not pod:
            offers = tuple(selecting(self._selection, pod))
            found = _Selected(pod, offers, self._shape(offers, pod.ports) if offers else None)
            self._before[id(pod)] = found
        return found

    def requests(self, selected: _Selected, shape: Shape, most: int) -> Requested:
        """Return the requests for a Pod, with at most so many new node ports. shape: that of the Pod."""
        pod = selected.pod
        if shape.size > most:
            bound = Bound(most, partial(self._known.ports, pod, selected.offers))
            return requests(pod, shape, self._site, self._audience(pod.ref.namespace), bound)
        if selected.whole is None:
            selected.whole = requests(pod, shape, self._site, self._audience(pod.ref.namespace))
        return selected.whole


def _audiences(policy: "Policy | None") -> Callable[[str], Audience]:
    """Return a function that says who may reach a namespace."""
    if policy is None:
        return lambda _: EVERYBODY
    from nplconf.desired.policy import audience

    return cache(partial(audience, policy=policy))


class _Known:
    """The ports that had a node port, are pinned to one or claim one. These are expanded in any case."""

    def __init__(self, policy: "Policy | None", past: Previous) -> None:
        self._pins = policy.pins if policy else ()
        self._past = past

    def ports(self, pod: Pod, offers: Iterable[Offer]) -> frozenset[int]:
        """Return those of one Pod."""
        subjects = {("pod", pod.ref.key), *(("service", offer.key) for offer in offers)}
        pinned = (pin.pod_port for pin in self._pins if (pin.kind, pin.subject) in subjects)
        return frozenset((*self._before.get(pod.ref.key, ()), *pinned, *claimed_ports(pod.annotation)))

    @cached_property
    def _before(self) -> Mapping[str, set[int]]:
        found: dict[str, set[int]] = {}
        owners = (owner for source in self._past.sources for owner in source)
        for owner in (*owners, *(cooling.owner for cooling in self._past.cooling)):
            found.setdefault(owner.pod, set()).add(owner.port)
        return found
