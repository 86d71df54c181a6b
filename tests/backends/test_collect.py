"""The backends of a Service port."""

import dataclasses
import json
import random

import pytest
import worlds

from nplconf.backends.collect import collect
from nplconf.backends.model import Collected, Wanted
from nplconf.model import PROTOCOLS, ClusterState, ContainerPort, Pod, Service


def entry(number: int, pod_port: int = 8080, ip: str = "10.10.10.10", protocol: str = "tcp") -> dict[str, object]:
    family = "IPv6" if ":" in ip else "IPv4"
    return {"podPort": pod_port, "nodeIP": ip, "nodePort": number, "protocol": protocol, "ipFamily": family}


def pod(name: str = "web-0", *entries: dict[str, object], ready: bool = True, **facts: object) -> Pod:
    made = worlds.pod(name, annotation=json.dumps(entries), **facts)  # type: ignore[arg-type]
    return dataclasses.replace(made, ready=ready)


def places(found: Collected) -> list[str]:
    """What is listed, one word for each backend."""
    return [
        f"{row.service}:{row.port} {b.name} {b.address}:{b.node_port}{' draining' if b.draining else ''}"
        for row in found.services
        for b in row.backends
    ]


def test_a_ready_pod_is_a_backend_of_each_port_that_it_publishes() -> None:
    service = worlds.service(ports=[(8080, "TCP"), (9090, "TCP")])
    found = collect(worlds.cluster(service, pod("web-0", entry(61001), entry(61002, 9090))))
    assert places(found) == ["web:80 web-0 10.10.10.10:61001", "web:81 web-0 10.10.10.10:61002"]
    (backend,) = found.services[0].backends
    assert (backend.node, backend.pod.key, backend.weight, backend.pod_port) == (worlds.NODE, "shop/web-0", 1, 8080)


@pytest.mark.parametrize(
    "absent",
    [
        pod("web-0", entry(61001), ready=False),
        pod("web-0", entry(61001), phase="Succeeded"),
        pod("web-0", entry(61001), terminating=True, containers_ended=True),
        pod("web-0", entry(61001), labels={"app": "other"}),
        pod("web-0", entry(61001), namespace="other"),
        pod("web-0", entry(61001, pod_port=9090)),
        pod("web-0", entry(61001, protocol="udp")),
        pod("web-0"),
    ],
    ids=["not ready", "ended", "containers ended", "other label", "other namespace", "other port", "udp", "none"],
)
def test_a_pod_that_cannot_serve_is_no_backend(absent: Pod) -> None:
    found = collect(worlds.cluster(worlds.service(), absent))
    assert places(found) == []
    assert [row.service for row in found.services] == ["web"]


def test_a_pod_that_is_being_deleted_drains_whether_it_is_ready_or_not() -> None:
    pods = [pod(f"web-{ready}", entry(61001 + ready), ready=bool(ready), terminating=True) for ready in (0, 1)]
    found = collect(worlds.cluster(worlds.service(), *pods))
    assert [(b.draining, b.weight) for b in found.services[0].backends] == [(True, 0), (True, 0)]
    assert found.services[0].withdrawn == ()


def test_a_draining_pod_whose_annotation_is_withdrawn_is_named_without_an_address() -> None:
    cluster = worlds.cluster(worlds.service(), pod("web-0", terminating=True), pod("web-1", entry(61002)))
    found = collect(cluster)
    assert places(found) == ["web:80 web-1 10.10.10.10:61002"]
    assert [one.pod.name for one in found.services[0].withdrawn] == ["web-0"]


def test_a_named_port_is_each_pods_own_number() -> None:
    pods = [pod(f"web-{i}", entry(61001 + i, 8080 + i), ports=[ContainerPort(8080 + i, "http")]) for i in range(2)]
    found = collect(worlds.cluster(worlds.service(ports=[("http", "TCP")]), *pods))
    assert places(found) == ["web:80 web-0 10.10.10.10:61001", "web:80 web-1 10.10.10.10:61002"]


def test_the_families_of_the_service_count() -> None:
    both = pod("web-0", entry(61001), entry(61001, ip="fd00:10::10"))
    assert places(collect(worlds.cluster(worlds.service(), both))) == ["web:80 web-0 10.10.10.10:61001"]
    dual = collect(worlds.cluster(worlds.service(families=worlds.BOTH), both))
    assert places(dual) == ["web:80 web-0 10.10.10.10:61001", "web:80 web-0_ipv6 fd00:10::10:61001"]


@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "10.1", "x\nserver y", "224.0.0.1"]
)
def test_an_address_that_is_no_nodes_is_left_out_and_named(ip: str) -> None:
    service = worlds.service(families=worlds.BOTH)
    found = collect(worlds.cluster(service, pod("web-0", entry(61001, ip=ip))))
    assert places(found) == []
    assert [one.kind for one in found.lint] == ["address-invalid"]


def test_a_service_that_does_not_ask_is_not_listed() -> None:
    assert collect(worlds.cluster(worlds.service(enabled=False), pod("web-0", entry(61001)))).services == ()


def test_one_service_or_one_port_of_it() -> None:
    services = [worlds.service("web", [(8080, "TCP"), (9090, "TCP")]), worlds.service("api")]
    cluster = worlds.cluster(*services, pod("web-0", entry(61001), entry(61002, 9090)))
    assert [row.port for row in collect(cluster, Wanted("shop", "web")).services] == [80, 81]
    assert places(collect(cluster, Wanted("shop", "web", 81))) == ["web:81 web-0 10.10.10.10:61002"]


def test_a_wanted_port_is_there_though_the_service_is_not() -> None:
    (row,) = collect(ClusterState((), (), ()), Wanted("shop", "web", 80)).services
    assert (row.service, row.port, row.backends) == ("web", 80, ())


def test_the_order_of_the_cluster_does_not_matter() -> None:
    objects: list[Service | Pod] = [
        *(worlds.service(name, [(8080, "TCP"), (8080, "UDP")]) for name in ("b", "a")),
        *(pod(f"web-{i}", entry(61001 + i), entry(61001 + i, protocol="udp")) for i in range(12)),
    ]
    expected = collect(worlds.cluster(*objects))
    for seed in range(5):
        random.Random(seed).shuffle(objects)
        assert collect(worlds.cluster(*objects)) == expected


def test_sctp_ports_are_listed_where_they_are_switched_on() -> None:
    cluster = worlds.cluster(worlds.service(ports=[(8080, "SCTP")]), pod("web-0", entry(61001, protocol="sctp")))
    assert collect(cluster).services == ()
    found = collect(cluster, protocols=PROTOCOLS)
    assert [row.protocol for row in found.services] == ["sctp"]
    assert places(found) == ["web:80 web-0 10.10.10.10:61001"]
