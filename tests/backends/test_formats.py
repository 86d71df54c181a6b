"""The list in the formats of load balancers."""

import json
from typing import Any

import pytest
import worlds

from nplconf.backends.data import document
from nplconf.backends.formats import FORMATS, HEADER
from nplconf.backends.model import Backend, Collected, ServiceBackends, WithdrawnPod


def backend(name: str, address: str = "10.10.10.10", number: int = 61001, *, draining: bool = False) -> Backend:
    family = "IPv6" if ":" in address else "IPv4"
    weight = 0 if draining else 1
    return Backend(name, address, number, family, worlds.ref(name), "worker-1", 8080, weight, draining)  # type: ignore[arg-type]


FOUND = Collected(
    (
        ServiceBackends(
            "shop",
            "web",
            80,
            "tcp",
            "http",
            (backend("web-0"), backend("web-1", "fd00:10::10", 61002, draining=True)),
            (WithdrawnPod(worlds.ref("web-2"), "worker-2"),),
        ),
        ServiceBackends("shop", "web", 80, "udp", 53, (backend("web-0", number=61003),)),
        ServiceBackends("shop", "web-s", 80, "sctp", 53, (backend("web-0", number=61004),)),
        ServiceBackends("shop", "web-x", 80, "tcp", 8080),
    ),
    (),
)


def text(name: str) -> str:
    return FORMATS[name](document(FOUND))


def test_json_has_what_a_load_balancer_needs() -> None:
    found: dict[str, Any] = json.loads(text("json"))
    assert [s["id"] for s in found["services"]] == [
        "shop_web_80",
        "shop_web_80_udp",
        "shop_web-s_80_sctp",
        "shop_web-x_80",
    ]
    assert found["services"][0]["backends"][0] == {
        "name": "web-0",
        "address": "10.10.10.10",
        "nodePort": 61001,
        "ipFamily": "IPv4",
        "pod": {"namespace": "shop", "name": "web-0", "uid": "uid-web-0"},
        "node": "worker-1",
        "podPort": 8080,
        "weight": 1,
        "draining": False,
    }
    assert found["services"][0]["withdrawn"] == [
        {"pod": {"namespace": "shop", "name": "web-2", "uid": "uid-web-2"}, "node": "worker-2"}
    ]


def test_haproxy_has_a_backend_for_each_tcp_port() -> None:
    assert text("haproxy") == (
        f"{HEADER}\nbackend shop_web_80\n"
        "    server web-0 10.10.10.10:61001 weight 1\n"
        "    server web-1 [fd00:10::10]:61002 weight 0\n"
        "\n# shop_web_80_udp is left out: HAProxy does not balance UDP\n"
        "\n# shop_web-s_80_sctp is left out: HAProxy does not balance SCTP\n"
        "\nbackend shop_web-x_80\n"
    )


def test_nginx_has_an_upstream_for_each_port() -> None:
    assert text("nginx") == (
        f"{HEADER}\nupstream shop_web_80 {{\n    server 10.10.10.10:61001;\n    server [fd00:10::10]:61002 down;\n}}\n"
        "\nupstream shop_web_80_udp {\n    server 10.10.10.10:61003;\n}\n"
        "\n# shop_web-s_80_sctp is left out: nginx does not balance SCTP\n"
        "\nupstream shop_web-x_80 {\n    server 127.0.0.1:1 down;\n}\n"
    )


def test_envoy_has_an_assignment_for_each_port_and_no_weight_of_zero() -> None:
    found = json.loads(text("envoy"))
    assert [one["cluster_name"] for one in found["resources"]] == [
        "shop_web_80",
        "shop_web_80_udp",
        "shop_web-x_80",
    ]
    ends = [end for one in found["resources"] for where in one["endpoints"] for end in where["lb_endpoints"]]
    assert [end["health_status"] for end in ends] == ["HEALTHY", "DRAINING", "HEALTHY"]
    assert {end["load_balancing_weight"] for end in ends} == {1}
    assert ends[2]["endpoint"]["address"]["socket_address"] == {
        "protocol": "UDP",
        "address": "10.10.10.10",
        "port_value": 61003,
    }


def test_envoys_version_changes_with_the_content_alone() -> None:
    version = json.loads(text("envoy"))["version_info"]
    other = FOUND._replace(services=FOUND.services[:1])
    assert json.loads(text("envoy"))["version_info"] == version
    assert json.loads(FORMATS["envoy"](document(other)))["version_info"] != version


def test_prometheus_has_a_group_for_each_backend() -> None:
    found = json.loads(text("prometheus"))
    assert [group["targets"] for group in found] == [["10.10.10.10:61001"], ["[fd00:10::10]:61002"]]
    assert found[0]["labels"] == {
        "namespace": "shop",
        "service": "web",
        "service_port": "80",
        "pod": "web-0",
        "node": "worker-1",
    }


@pytest.mark.parametrize("name", FORMATS)
def test_a_list_without_anything_is_valid(name: str) -> None:
    assert FORMATS[name](document(Collected((), ())))


@pytest.mark.parametrize("name", ["haproxy", "nginx", "envoy", "prometheus"])
def test_a_format_without_sctp_gets_no_sctp_backend(name: str) -> None:
    assert "61004" not in text(name)
