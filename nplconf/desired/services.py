"""Services that request mappings, the Pods that they select, and the node ports that they use themselves."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nplconf.desired.claims import Claim, of_services
from nplconf.desired.names import label, protocol_of, shown
from nplconf.desired.offers import Offer
from nplconf.model import USUAL_PROTOCOLS, Pod, Protocol, Service, Skipped

_SERVED_TYPES = ("ClusterIP", "LoadBalancer")

Trait = tuple[str, str, str]
"""A namespace, a label, its value."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The Services of a snapshot, prepared for Pods.

    Attributes:
        by_trait: Each asking Service under one pair of its selector, the one that the fewest Services have, so that few
            Services are compared with a Pod that they do not select.
        claims: The node ports that Services use themselves.
        skipped: What is not served for any Pod.

    """

    by_trait: Mapping[Trait, Sequence[Offer]]
    claims: tuple[Claim, ...]
    skipped: tuple[Skipped, ...]


def select(services: Iterable[Service], protocols: Collection[Protocol] = USUAL_PROTOCOLS) -> Selection:
    """Return the Services that count: those that ask, of a served type, with a selector and a valid name.

    The others are in `skipped`, each with a reason.

    Args:
        services: The Services of the snapshot.
        protocols: The protocols that can be mapped.

    """
    services = tuple(services)
    asking = [s for s in services if s.enabled]
    refused = {id(s): reason for s in asking if (reason := _refusal(s))}
    served = [s for s in asking if s.selector and id(s) not in refused]
    skipped = (row for s in asking if id(s) in refused for row in _skipped(s, *refused[id(s)]))
    return Selection(_by_trait(served, protocols), tuple(of_services(services)), tuple(skipped))


def selecting(selection: Selection, pod: Pod) -> list[Offer]:
    """Return the asking Services whose selector matches the Pod's labels."""
    found: list[Offer] = []
    labels = pod.labels
    for name, value in labels.items():
        for offer in selection.by_trait.get((pod.ref.namespace, name, value), ()):
            if offer.service.selector.items() <= labels.items():
                found.append(offer)  # noqa: PERF401 - the hot path: most Pods find one Service or none
    return found


def _by_trait(services: Sequence[Service], protocols: Collection[Protocol]) -> dict[Trait, list[Offer]]:
    traits = [[(s.namespace, k, v) for k, v in sorted(s.selector.items())] for s in services]
    shared: dict[Trait, int] = {}
    for trait in (t for own in traits for t in own):
        shared[trait] = shared.get(trait, 0) + 1
    by_trait: dict[Trait, list[Offer]] = {}
    for service, own in zip(services, traits, strict=True):
        by_trait.setdefault(min(own, key=lambda t: shared[t]), []).append(Offer(service, protocols))
    return by_trait


def _refusal(service: Service) -> tuple[str, str] | None:
    """Return (reason, message) if no Pod of the Service is served."""
    if not label(service.namespace) or not label(service.name):
        return "name-invalid", "the Service's name or namespace is none that Kubernetes allows"
    if service.type not in _SERVED_TYPES:
        return "service-type", f"a Service of type {shown(service.type)} is not served, ClusterIP and LoadBalancer are"
    return None


def _skipped(service: Service, reason: str, message: str) -> Iterator[Skipped]:
    """Yield one row for all ports of a Service that is not served."""
    found = {(isinstance(p.target, str), str(p.target).rjust(5), p.target, protocol_of(p)) for p in service.ports}
    if found:
        *_, target, protocol = min(found)
        port = shown(target) if isinstance(target, str) else target
        yield Skipped(None, port, protocol, shown(service.key), reason, message, more=len(found) - 1)
