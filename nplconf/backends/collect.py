"""The backends of each Service port, from the annotations of the Pods that the Service selects.

A Pod counts when it is Ready. A Pod with a deletionTimestamp is draining, Ready or not, as long as it has not ended:
connections to it may be open. Usually its annotation is `[]` by then, so that its address is no longer known; it is
listed as `withdrawn`. With `--withdraw-when gone` the address is still there.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import cast

from nplconf.backends import lint
from nplconf.backends.model import Backend, Collected, ServiceBackends, Wanted, WithdrawnPod
from nplconf.backends.published import entries, pod_port
from nplconf.desired.names import invalid_part, protocol_of, subdomain
from nplconf.desired.services import select, selecting
from nplconf.model import USUAL_PROTOCOLS, ClusterState, Pod, Protocol, Service
from nplconf.publish import annotation
from nplconf.publish.annotation import Entry


def collect(
    cluster: ClusterState, wanted: Wanted | None = None, protocols: Collection[Protocol] = USUAL_PROTOCOLS
) -> Collected:
    """Return the backends of all Services that ask for NodePortLocal, or of the one that is wanted.

    A wanted port that no Service has is there without backends, so that a configuration which names it stays valid.
    protocols: those of the ports that are listed.
    """
    services = [s for s in cluster.services if wanted is None or s.key == wanted.key]
    selected = _selected(services, cluster.pods)
    found = [row for service, pods in selected.values() for row in _rows(service, pods, protocols)]
    if wanted and wanted.port:
        found = [row for row in found if row.port == wanted.port]
        found = found or [ServiceBackends(wanted.namespace, wanted.service, wanted.port, "tcp")]
    rows = tuple(sorted(found, key=lambda row: (row.namespace, row.service, row.port, row.protocol)))
    return Collected(rows, lint.lint(services, selected.values(), rows))


def _selected(services: Iterable[Service], pods: Iterable[Pod]) -> Mapping[str, tuple[Service, list[Pod]]]:
    """Return each Service that asks and can be served, with its Pods, sorted."""
    services = tuple(services)
    selection = select(services)
    refused = {row.service for row in selection.skipped}
    found: dict[str, tuple[Service, list[Pod]]] = {
        s.key: (s, []) for s in services if s.enabled and s.selector and s.key not in refused
    }
    for pod in _living(pods):
        for offer in selecting(selection, pod):
            found[offer.key][1].append(pod)
    return found


def _living(pods: Iterable[Pod]) -> list[Pod]:
    """Return the Pods that may serve, one for each name."""
    by_key = {p.ref.key: p for p in sorted(pods, key=lambda p: p.ref) if not p.terminated and not invalid_part(p.ref)}
    return list(by_key.values())


def _rows(service: Service, pods: Iterable[Pod], protocols: Collection[Protocol]) -> Iterator[ServiceBackends]:
    """Yield the Service's ports with their backends, each once."""
    ports = {(p.port, protocol_of(p)): p for p in service.ports if p.port and protocol_of(p) in protocols}
    for (number, protocol), port in ports.items():
        backends: list[Backend] = []
        withdrawn: list[WithdrawnPod] = []
        for pod in pods:
            published = list(entries(service, port, pod))
            if _is_withdrawn(pod) and pod_port(port, pod):
                withdrawn.append(WithdrawnPod(pod.ref, _node(pod)))
            if pod.terminating or pod.ready:
                backends += (_backend(pod, entry) for entry in published)
        place = (service.namespace, service.name, number, cast("Protocol", protocol))
        yield ServiceBackends(*place, port.target, tuple(backends), tuple(withdrawn))


def _is_withdrawn(pod: Pod) -> bool:
    return pod.terminating and pod.annotation is not None and not annotation.parse(pod.annotation)


def _backend(pod: Pod, entry: Entry) -> Backend:
    return Backend(
        name=pod.ref.name if entry.family == "IPv4" else f"{pod.ref.name}_ipv6",
        address=entry.node_ip,
        node_port=entry.node_port,
        family=entry.family,
        pod=pod.ref,
        node=_node(pod),
        pod_port=entry.pod_port,
        weight=0 if pod.terminating else 1,
        draining=pod.terminating,
    )


def _node(pod: Pod) -> str:
    return pod.node if subdomain(pod.node) else ""
