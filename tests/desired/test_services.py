"""The Services that request mappings, and the Pods that they select."""

from collections.abc import Sequence

import pytest
import worlds

from nplconf.desired.offers import Offer
from nplconf.desired.services import select, selecting
from nplconf.model import ServicePort


def names(offers: Sequence[Offer]) -> list[str]:
    return sorted(offer.service.name for offer in offers)


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({"app": "web"}, {"app": "web", "tier": "front"}, True),
        ({"app": "web", "tier": "front"}, {"app": "web", "tier": "front"}, True),
        ({"app": "web", "tier": "front"}, {"app": "web"}, False),
        ({"app": "web"}, {"app": "Web"}, False),
        ({"app": ""}, {}, False),
        ({"app": ""}, {"app": ""}, True),
        ({}, {"app": "web"}, False),
        ({}, {}, False),
    ],
)
def test_a_selector_selects_pods_that_have_all_its_labels(
    selector: dict[str, str], labels: dict[str, str], *, selected: bool
) -> None:
    selection = select([worlds.service(selector=selector)])
    assert bool(selecting(selection, worlds.pod(labels=labels))) is selected


def test_a_service_selects_in_its_own_namespace_only() -> None:
    selection = select([worlds.service(namespace="shop"), worlds.service("other", namespace="team-a")])
    assert names(selecting(selection, worlds.pod(namespace="shop"))) == ["web"]


def test_a_service_that_does_not_ask_selects_nothing() -> None:
    assert selecting(select([worlds.service(enabled=False)]), worlds.pod()) == []


def test_services_that_share_a_label_are_all_found() -> None:
    services = [worlds.service(f"s{i}", selector={"tier": "front", "app": f"a{i % 3}"}) for i in range(9)]
    found = selecting(select(services), worlds.pod(labels={"tier": "front", "app": "a1", "x": "y"}))
    assert names(found) == ["s1", "s4", "s7"]


def test_a_service_is_looked_up_by_the_label_that_the_fewest_share_so_that_a_pod_meets_few() -> None:
    services = [worlds.service(f"s{i}", selector={"all": "front", "own": f"o{i}"}) for i in range(3)]
    found = select([*services, worlds.service("loose", selector={"all": "front"})]).by_trait
    assert {trait[1:]: names(there) for trait, there in found.items()} == {
        ("own", "o0"): ["s0"],
        ("own", "o1"): ["s1"],
        ("own", "o2"): ["s2"],
        ("all", "front"): ["loose"],
    }


@pytest.mark.parametrize(
    ("kind", "served"), [("ClusterIP", True), ("LoadBalancer", True), ("NodePort", False), ("", False)]
)
def test_only_cluster_ip_and_load_balancer_services_are_served(kind: str, *, served: bool) -> None:
    selection = select([worlds.service(type=kind)])
    assert bool(selecting(selection, worlds.pod())) is served
    assert [row.reason for row in selection.skipped] == ([] if served else ["service-type"])


def test_a_refused_service_has_one_row_for_all_its_ports_and_no_pod() -> None:
    ports = ((8080, "TCP"), ("metrics", "UDP"), (90, "TCP"))
    rows = select([worlds.service(ports=ports, type="ExternalName", selector={})]).skipped
    assert [(r.pod, r.pod_port, r.protocol, r.service, r.reason, r.more) for r in rows] == [
        (None, 90, "tcp", "shop/web", "service-type", 2),
    ]


def test_a_service_of_another_type_that_does_not_ask_is_not_mentioned() -> None:
    assert select([worlds.service(type="NodePort", enabled=False)]).skipped == ()


def test_a_service_without_a_selector_is_not_mentioned() -> None:
    assert select([worlds.service(selector={})]).skipped == ()


def test_a_service_with_a_hostile_name_is_skipped_with_its_name_escaped() -> None:
    selection = select([worlds.service("web\n-j ACCEPT")])
    assert selecting(selection, worlds.pod()) == []
    assert [(r.reason, r.service) for r in selection.skipped] == [("name-invalid", "shop/web\\x0a-j ACCEPT")]


def test_node_ports_of_all_services_are_reserved_also_of_those_that_do_not_ask() -> None:
    services = [
        worlds.service(type="NodePort", node_port=61005, enabled=False),
        worlds.service("lb", type="LoadBalancer", node_port=61006, health_check_node_port=61007),
    ]
    assert [claim.number for claim in select(services).claims] == [61005, 61006, 61007]


def test_the_protocol_of_a_service_port_is_shown_in_lower_case() -> None:
    service = worlds.service(ports=((1, "SCTP\n"),), type="NodePort")
    assert service.ports == (ServicePort(80, 1, "SCTP\n"),)
    assert select([service]).skipped[0].protocol == "sctp\\x0a"


def test_whatever_a_service_is_called_messages_are_printable() -> None:
    strange = worlds.service(type="Cluster\x1bIP", ports=(("ht\x1btp", "TCP"),))
    (row,) = select([strange]).skipped
    assert row.reason == "service-type"
    assert row.message.isprintable()
    assert row.pod_port == "ht\\x1btp"


def test_a_service_in_a_namespace_that_cannot_be_is_refused() -> None:
    (row,) = select([worlds.service(namespace="Shop")]).skipped
    assert row.reason == "name-invalid"
