"""The demand of Services for all Pods of a node: requests, limited by the free node ports, and skipped ports. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from typing import TYPE_CHECKING

from nplconf.desired.hints import claimed_ports
from nplconf.desired.offers import Offer
from nplconf.desired.pods import PortRequest, Site
from nplconf.desired.ports import Previous
from nplconf.desired.requests import EVERYBODY, EVERYTHING, Audience, Bound, Rest, requests
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
) -> Demand:
    """Expand what Services ask, for each namespace up to the node ports that it could have.

    Args:
        selection: the Services.
        here: the Pods that run on the node.
        site: the node's addresses.
        port_range: the node ports there are.
        policy: who may have how many, and which clients may reach them.
        past: earlier allocations. Ports that had a node port are always expanded.

    """
    found = Demand([], [], Skips())
    found.skips.add(selection.skipped)
    audience, known = _audiences(policy), _Known(policy, past)
    shape = lru_cache(maxsize=SHAPES)(Shape)
    left: dict[str, int] = {}
    size = len(port_range)
    for pod in sorted(here, key=lambda pod: pod.ref.key):
        offers = selecting(selection, pod)
        if not offers:
            continue
        namespace = pod.ref.namespace
        room = left.get(namespace, size)
        most = min(room, policy.per_pod or room) if policy else room
        wanted = shape(tuple(offers), pod.ports)
        bound = EVERYTHING if wanted.size <= most else Bound(most, partial(known.ports, pod, offers))
        asked = requests(pod, wanted, site, audience(namespace), bound)
        left[namespace] = max(0, room - asked.new)
        found.requests.extend(asked.requests)
        if asked.rest or asked.skipped:
            found.rest.extend(asked.rest)
            found.skips.add_in_order(asked.skipped)
    return found


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
