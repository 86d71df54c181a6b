"""Warnings: what AKO and F5 CIS, which read Services and annotations themselves, would misunderstand."""

from collections.abc import Iterable, Iterator, Sequence

from nplconf.backends.model import Lint, ServiceBackends
from nplconf.backends.published import usable
from nplconf.desired.names import invalid_part, label, protocol_of, shown
from nplconf.desired.offers import named_numbers
from nplconf.lists import listed
from nplconf.model import Pod, Service, ServicePort
from nplconf.publish import annotation

Selected = tuple[Service, Sequence[Pod]]


def lint(
    services: Iterable[Service], selected: Iterable[Selected], rows: Iterable[ServiceBackends]
) -> tuple[Lint, ...]:
    """Return what was found, sorted.

    Args:
        services: all Services that are looked at, also those that do not ask.
        selected: the Services that ask, with their Pods.
        rows: the backends of their ports.
    """
    found = [*(one for service in services for one in _enabled(service)), *_shared(rows)]
    for service, pods in selected:
        found += _crossing(service)
        found += _addresses(service, pods)
        for port in service.ports:
            if isinstance(port.target, str):
                found += _named(service, port, port.target, pods)
    return tuple(sorted(set(found), key=lambda one: (one.service, one.kind, one.message)))


def _enabled(service: Service) -> Iterator[Lint]:
    if service.enabled_value is not None and not service.enabled and label(service.namespace) and label(service.name):
        fact = f'nodeportlocal.antrea.io/enabled is {service.enabled_value}, not "true"'
        yield Lint("enabled-not-true", service.key, f"{fact}: the Service is not served, but F5 CIS takes it as on")


def _named(service: Service, port: ServicePort, name: str, pods: Iterable[Pod]) -> Iterator[Lint]:
    """Find what AKO gets wrong: it knows one number per name, and the ports of ordinary containers alone."""
    place = (name, protocol_of(port))
    numbers = {pod.ref.name: named_numbers(pod.ports).get(place) for pod in pods}
    missing = sorted(pod for pod, number in numbers.items() if number is None)
    different = sorted({number for number in numbers.values() if number is not None})
    sidecars = sorted(pod.ref.name for pod in pods if _is_of_sidecar(pod, place))
    target = f"target port {shown(name)}"
    if missing:
        yield Lint("named-port-unresolved", service.key, f"{target} is no container port of {listed(missing)}")
    if len(different) > 1:
        message = f"{target} is {listed(map(str, different))} on different Pods: AKO uses one number for all of them"
        yield Lint("named-port-differs", service.key, message)
    if sidecars:
        message = f"{target} is a port of a sidecar init container ({listed(sidecars)}): AKO does not find it"
        yield Lint("sidecar-port", service.key, message)


def _is_of_sidecar(pod: Pod, place: tuple[str, str]) -> bool:
    named = (port for port in pod.ports if (port.name, port.protocol.lower()) == place)
    first = next(named, None)
    return first is not None and first.sidecar


def _crossing(service: Service) -> Iterator[Lint]:
    """Find a port that is the target of another one."""
    for port in service.ports:
        others = [p for p in service.ports if p.target == port.port and p.target != port.target]
        if others:
            message = (
                f"port {port.port} is the target port of port {others[0].port}, too:"
                f" F5 CIS takes members of one for the other"
            )
            yield Lint("port-crosses", service.key, message)


def _addresses(service: Service, pods: Iterable[Pod]) -> Iterator[Lint]:
    for pod in pods:
        wrong = [entry for entry in annotation.parse(pod.annotation) if not usable(entry)]
        if wrong and not invalid_part(pod.ref):
            where = shown(f"{wrong[0].node_ip}:{wrong[0].node_port}")
            message = f"the annotation of {pod.ref.name} names {where}, which is no address of a node: it is left out"
            yield Lint("address-invalid", service.key, message)


def _shared(rows: Iterable[ServiceBackends]) -> Iterator[Lint]:
    """Find an address and port that two Pods publish: one of the annotations is stale or forged."""
    owners: dict[tuple[str, int], set[str]] = {}
    services: dict[tuple[str, int], set[str]] = {}
    for row in rows:
        for backend in row.backends:
            place = (backend.address, backend.node_port)
            owners.setdefault(place, set()).add(backend.pod.key)
            services.setdefault(place, set()).add(f"{row.namespace}/{row.service}")
    for (address, port), pods in owners.items():
        if len(pods) > 1:
            for service in services[address, port]:
                message = f"{listed(sorted(pods))} publish the same address {address} and port {port}"
                yield Lint("address-shared", service, message)
