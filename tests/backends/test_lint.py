"""Warnings about Services that a load balancer would misunderstand."""

import dataclasses
import json

import worlds

from nplconf.backends.collect import collect
from nplconf.model import ContainerPort, Pod, Service, ServicePort


def pod(name: str, *ports: ContainerPort, number: int = 61001) -> Pod:
    entries = [{"podPort": 8080, "nodeIP": "10.10.10.10", "nodePort": number, "protocol": "tcp"}]
    return dataclasses.replace(worlds.pod(name, ports=ports, annotation=json.dumps(entries)), ready=True)


def kinds(*objects: Pod | Service) -> list[str]:
    return [one.kind for one in collect(worlds.cluster(*objects)).lint]


NAMED = worlds.service(ports=[("http", "TCP")])


def test_a_plain_service_gives_no_warning() -> None:
    assert kinds(worlds.service(), pod("web-0"), pod("web-1", number=61002)) == []
    assert kinds(NAMED, pod("web-0", ContainerPort(8080, "http"))) == []


def test_a_port_name_with_different_numbers() -> None:
    pods = [pod(f"web-{i}", ContainerPort(8080 + i, "http"), number=61001 + i) for i in range(2)]
    assert kinds(NAMED, *pods) == ["named-port-differs"]


def test_a_name_that_a_pod_does_not_have() -> None:
    assert kinds(NAMED, pod("web-0", ContainerPort(8080, "http")), pod("web-1", number=61002)) == [
        "named-port-unresolved"
    ]


def test_a_name_of_a_sidecar() -> None:
    assert kinds(NAMED, pod("web-0", ContainerPort(8080, "http", sidecar=True))) == ["sidecar-port"]
    ordinary = pod("web-0", ContainerPort(8080, "http"), ContainerPort(8081, "http", sidecar=True))
    assert kinds(NAMED, ordinary) == []


def test_an_annotation_that_is_not_true() -> None:
    wrong = dataclasses.replace(worlds.service(enabled=False), enabled_value='"yes"')
    (one,) = collect(worlds.cluster(wrong)).lint
    assert (one.kind, one.service) == ("enabled-not-true", "shop/web")
    assert '"yes"' in one.message
    assert kinds(worlds.service(enabled=False)) == []


def test_ports_that_cross() -> None:
    crossing = dataclasses.replace(worlds.service(), ports=(ServicePort(80, 8080), ServicePort(8080, 9090)))
    assert kinds(crossing) == ["port-crosses"]
    plain = dataclasses.replace(worlds.service(), ports=(ServicePort(8080, 8080), ServicePort(9090, 9090)))
    assert kinds(plain) == []


def test_two_pods_with_one_address_and_port() -> None:
    assert kinds(worlds.service(), pod("web-0"), pod("web-1")) == ["address-shared"]
