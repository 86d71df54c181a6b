"""Raw Kubernetes objects to values."""

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st

from nplconf.cluster.objects import MALFORMED, UNSET_UID, read_node, read_pod, read_service, state
from nplconf.desired import Desired, find_node, render
from nplconf.desired.ports import Previous
from nplconf.model import ANNOTATION, ENABLED, ContainerPort, Pod, Service, ServicePort

RUBBISH: list[Any] = [None, 7, -1, 2.5, True, "", "x", [], [1], {}, {"a": 1}, [[]], "1" * 400, 10**30]


def a_pod(raw: dict[str, Any]) -> Pod:
    found = read_pod(raw)
    assert found is not None
    return found


def a_service(**spec: Any) -> Service:
    raw = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, **spec}}
    found = read_service(raw)
    assert found is not None
    return found


def test_what_kubectl_prints_becomes_values() -> None:
    raw = worlds.raw_pod(annotations={ANNOTATION: "[]"}, ports=[{"containerPort": 8080, "name": "http"}])
    assert read_pod(raw) == worlds.pod(annotation="[]", ports=[ContainerPort(8080, "http")])
    assert read_service(worlds.raw_service()) == worlds.service()
    assert read_node(worlds.raw_node()) == worlds.node()


def test_what_a_service_manifest_leaves_out_is_what_the_api_server_fills_in() -> None:
    service = a_service(ports=[{"port": 80}])
    assert (service.namespace, service.type, service.families) == ("default", "ClusterIP", ("IPv4",))
    assert service.ports == (ServicePort(80, 80, "TCP", 0),)
    assert not service.enabled


def test_what_a_pod_manifest_leaves_out_is_what_the_api_server_fills_in() -> None:
    pod = a_pod({"metadata": {"name": "web"}, "spec": {"containers": [{"ports": [{"containerPort": 80}]}]}})
    assert (pod.ref.namespace, pod.ref.uid, pod.node, pod.phase, pod.ips) == ("default", UNSET_UID, "", "Pending", ())
    assert pod.ports == (ContainerPort(80, "", "TCP", 0, ""),)


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ({"ipFamilies": ["IPv6"]}, ("IPv6",)),
        ({"ipFamilies": ["IPv6", "IPv4"]}, ("IPv4", "IPv6")),
        ({"clusterIPs": ["10.96.0.7", "fd00:96::7"]}, ("IPv4", "IPv6")),
        ({"clusterIPs": ["fd00:96::7"]}, ("IPv6",)),
        ({"clusterIP": "fd00:96::7"}, ("IPv6",)),
        ({"clusterIP": "None"}, ("IPv4",)),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, ("IPv4",)),
        ({"ipFamilies": [], "clusterIP": ""}, ("IPv4",)),
        ({"ipFamilies": ["IPv5"], "clusterIP": "fd00:96::7"}, ("IPv6",)),
        ({"ipFamilies": "IPv6"}, ("IPv4",)),
        ({"ipFamilies": [["IPv6"], {}]}, ("IPv4",)),
        ({"ipFamilyPolicy": "RequireDualStack"}, ("IPv4", "IPv6")),
    ],
)
def test_families_are_those_given_else_of_the_cluster_ips_else_ipv4(
    spec: dict[str, Any], families: tuple[str, ...]
) -> None:
    assert a_service(**spec).families == families


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (8080, 8080),
        ("http", "http"),
        (None, 80),
        (0, 80),
        ("", 80),
        (70000, "70000"),
        (-1, "-1"),
        (True, MALFORMED),
        (False, MALFORMED),
        ([80], MALFORMED),
        (80.0, MALFORMED),
    ],
)
def test_a_target_port_is_a_number_a_name_or_what_no_port_has(target: object, expected: int | str) -> None:
    assert a_service(ports=[{"port": 80, "targetPort": target}]).ports[0].target == expected


@pytest.mark.parametrize("value", ["True", "TRUE", "yes", "", " true", True, None, ["true"]])
def test_only_the_string_true_selects(value: object) -> None:
    raw = worlds.raw_service()
    raw["metadata"]["annotations"][ENABLED] = value
    found = read_service(raw)
    assert found
    assert replace(found, enabled_value=None) == worlds.service(enabled=False)
    assert found.enabled_value == (json.dumps(value) if not isinstance(value, list) else "a list")


@pytest.mark.parametrize(("stamp", "terminating"), [("2026-01-01T00:00:00Z", True), (None, False)])
def test_a_pod_with_a_time_of_deletion_is_terminating(stamp: str | None, *, terminating: bool) -> None:
    raw = worlds.raw_pod()
    raw["metadata"]["deletionTimestamp"] = stamp
    found = read_pod(raw)
    assert found
    assert found.terminating is terminating


@pytest.mark.parametrize("selector", [{"app": "web", "tier": 1}, {"app": None}, "app=web", ["app"], None, {}])
def test_a_selector_with_a_malformed_pair_selects_nothing(selector: object) -> None:
    assert a_service(selector=selector).selector == {}


def test_a_malformed_label_is_left_out() -> None:
    raw = worlds.raw_pod()
    raw["metadata"]["labels"] = {"app": "web", "n": 1, "x": ["y"], "z": None}
    assert a_pod(raw).labels == {"app": "web"}


def test_sidecars_count_for_ports_and_ordinary_init_containers_do_not() -> None:
    raw = worlds.raw_pod(ports=[{"containerPort": 1}])
    raw["spec"]["initContainers"] = [
        {"ports": [{"containerPort": 2}]},
        {"restartPolicy": "Always", "ports": [{"containerPort": 3, "name": "side"}]},
        {"restartPolicy": "OnFailure", "ports": [{"containerPort": 4}]},
    ]
    assert [p.container_port for p in a_pod(raw).ports] == [1, 3]


@pytest.mark.parametrize("number", [0, -1, 65536, "80", True, None, 80.0, [80], 10**30])
def test_a_container_port_without_a_port_number_is_left_out(number: object) -> None:
    raw = worlds.raw_pod(ports=[{"containerPort": number}, {"containerPort": 9090, "hostPort": number}])
    assert a_pod(raw).ports == (ContainerPort(9090),)


def claiming(spec: dict[str, object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    raw = worlds.raw_service()
    raw["spec"] |= {"externalIPs": ["10.0.0.1", 7, ""]} | spec
    raw["status"] = {"loadBalancer": {"ingress": [{"ip": "10.0.0.2"}, {"hostname": "lb"}, "x", {"ip": 5}]}}
    service = read_service(raw)
    assert service
    return service.external_ips, service.ingress_ips


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_the_addresses_that_kube_proxy_serves_a_service_at_are_read(kind: str) -> None:
    assert claiming({"type": kind}) == (("10.0.0.1",), ("10.0.0.2",))


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName"}])
def test_a_service_without_rules_of_kube_proxy_is_served_at_no_address(spec: dict[str, object]) -> None:
    assert claiming(spec) == ((), ())


def test_container_ports_on_the_host_network_are_host_ports() -> None:
    raw = worlds.raw_pod(ports=[{"containerPort": 9100}])
    raw["spec"]["hostNetwork"] = True
    assert a_pod(raw).ports[0].host_port == 9100


@pytest.mark.parametrize(
    ("status", "ips"),
    [
        ({"podIP": "10.1.1.1"}, ("10.1.1.1",)),
        ({"podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}, {"ip": "fd00::1"}]}, ("10.1.1.1", "fd00::1")),
        ({"podIP": "10.1.1.1", "podIPs": []}, ("10.1.1.1",)),
        ({"podIPs": [7, {"ip": 7}, {}, {"ip": "10.1.1.1"}]}, ("", "", "", "10.1.1.1")),
        ({"podIP": 7}, ("",)),
        ({"podIP": ""}, ()),
        ({}, ()),
    ],
)
def test_the_addresses_of_a_pod_stay_as_they_are_written(status: dict[str, Any], ips: tuple[str, ...]) -> None:
    assert a_pod({"metadata": {"name": "web"}, "status": status}).ips == ips


def test_an_annotation_that_is_no_string_is_there_all_the_same() -> None:
    raw = worlds.raw_pod()
    raw["metadata"]["annotations"] = {ANNOTATION: [1]}
    assert a_pod(raw).annotation == ""


@pytest.mark.parametrize("metadata", [None, {}, {"name": ""}, {"name": 7}, "x", []])
def test_an_object_without_a_name_is_none(metadata: object) -> None:
    raw = {"metadata": metadata}
    assert (read_node(raw), read_pod(raw), read_service(raw)) == (None, None, None)


def test_a_snapshot_for_a_node_has_its_node_its_pods_and_all_services() -> None:
    objects = [
        ("Node", worlds.raw_node()),
        ("Node", worlds.raw_node("worker-2")),
        ("Pod", worlds.raw_pod()),
        ("Pod", worlds.raw_pod("other", on="worker-2")),
        ("Pod", worlds.raw_pod("unscheduled", on="")),
        ("Service", worlds.raw_service()),
        ("Deployment", worlds.raw_pod()),
    ]
    here, everywhere = state(objects, worlds.NODE), state(objects, None)
    assert [n.name for n in here.nodes] == ["worker-1"]
    assert [p.ref.name for p in here.pods] == ["web-0"]
    assert [s.name for s in here.services] == ["web"]
    assert (len(everywhere.nodes), len(everywhere.pods)) == (2, 3)


def test_the_identity_is_the_uid_of_the_service_kubernetes() -> None:
    kubernetes = worlds.raw_service("kubernetes", namespace="default")
    other = worlds.raw_service("kubernetes", namespace="shop")
    assert state([("Service", other), ("Service", kubernetes)], None).identity == "uid-kubernetes"
    assert state([("Service", other)], None).identity is None
    kubernetes["metadata"]["uid"] = "no UID\n"
    assert state([("Service", kubernetes)], None).identity is None


def test_an_object_that_is_given_twice_counts_once_as_it_came_last() -> None:
    newer = worlds.raw_pod(ips=["10.244.3.99"])
    found = state([("Pod", worlds.raw_pod()), ("Pod", newer)], None)
    assert [p.ips for p in found.pods] == [("10.244.3.99",)]


PATHS = {
    "Pod": [
        ("metadata",),
        ("metadata", "namespace"),
        ("metadata", "uid"),
        ("metadata", "labels"),
        ("metadata", "annotations"),
        ("spec",),
        ("spec", "containers"),
        ("spec", "containers", 0),
        ("spec", "containers", 0, "ports"),
        ("spec", "containers", 0, "ports", 0),
        ("spec", "containers", 0, "ports", 0, "containerPort"),
        ("spec", "containers", 0, "ports", 0, "protocol"),
        ("spec", "containers", 0, "ports", 0, "hostPort"),
        (
            "spec",
            "initContainers",
        ),
        ("spec", "hostNetwork"),
        ("status",),
        ("status", "phase"),
        ("status", "podIP"),
        ("status", "podIPs"),
        ("status", "podIPs", 0),
    ],
    "Service": [
        ("metadata",),
        ("metadata", "annotations"),
        ("spec",),
        ("spec", "type"),
        ("spec", "selector"),
        ("spec", "ipFamilies"),
        ("spec", "ports"),
        ("spec", "ports", 0),
        ("spec", "ports", 0, "port"),
        ("spec", "ports", 0, "targetPort"),
        ("spec", "ports", 0, "protocol"),
        ("spec", "ports", 0, "nodePort"),
        ("spec", "healthCheckNodePort"),
    ],
}


def broken(raw: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    copy = deepcopy(raw)
    target: Any = copy
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return copy


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, paths in PATHS.items() for path in paths])
def test_one_malformed_object_never_stops_the_others_from_being_served(kind: str, path: tuple[Any, ...]) -> None:
    good = [("Node", worlds.raw_node()), ("Pod", worlds.raw_pod()), ("Service", worlds.raw_service())]
    victim = {
        "Pod": worlds.raw_pod("bad", ["10.244.3.66"], ports=[{"containerPort": 8080}]),
        "Service": worlds.raw_service("bad"),
    }[kind]
    for value in RUBBISH:
        found = state([(kind, broken(victim, path, value)), *good], worlds.NODE)
        node = find_node(found, worlds.NODE)
        assert node is not None
        plan = render(found, node, Desired(worlds.RANGE), Previous())
        assert ("web-0", 8080) in [(m.pod.name, m.pod_port) for m in plan.mappings], value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["metadata", "name", "spec", "ports", "status", "labels"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(
    st.sampled_from(["Node", "Pod", "Service"]), st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON)
)
def test_no_object_makes_reading_fail(kind: str, raw: dict[str, Any]) -> None:
    found = state([(kind, raw)], None)
    for node in found.nodes:
        render(found, node, Desired(worlds.RANGE), Previous())


ENDED: dict[str, object] = {"state": {"terminated": {}}}
RUNS: dict[str, object] = {"state": {"running": {}}}
WAITS: dict[str, object] = {"state": {"waiting": {}}}


@pytest.mark.parametrize(
    ("containers", "inits", "ended"),
    [
        ([ENDED], [], True),
        ([ENDED, ENDED], [ENDED], True),
        ([ENDED, RUNS], [], False),
        ([ENDED, WAITS], [], False),
        ([ENDED], [RUNS], False),
        ([], [], False),
        ([{}], [], False),
        (["x"], "x", False),
        (None, None, False),
    ],
)
def test_a_pod_has_ended_when_it_is_deleted_and_every_container_has(
    containers: object, inits: object, *, ended: bool
) -> None:
    raw = worlds.raw_pod()
    raw["status"] |= {"containerStatuses": containers, "initContainerStatuses": inits}
    found = read_pod(raw)
    assert found
    assert found.containers_ended is ended
    assert not found.terminated, "a container that ended is started again"
    raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    deleted = read_pod(raw)
    assert deleted
    assert deleted.terminated is ended
