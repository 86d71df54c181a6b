"""In any order of lists and events, the mirror equals a fresh list of the same cluster."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from worlds import NODE, raw_node, raw_pod, raw_service

from nplconf.cluster.objects import state
from nplconf.model import ANNOTATION, Patch, Pod, PodRef
from nplconf.watch.mirror import Mirror, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Raw = dict[str, Any]
KIND: dict[Resource, str] = {"services": "Service", "nodes": "Node", "pods": "Pod"}


def a_pod(name: str, uid: str, ip: str = "10.244.3.17", on: str = NODE) -> Raw:
    raw = raw_pod(name, [ip], on=on)
    return {**raw, "metadata": {**raw["metadata"], "uid": uid}}


def listed(mirror: Mirror, resource: Resource, items: "Iterable[Raw]") -> bool:
    """Let a complete list arrive."""
    return mirror.replace(resource, mirror.values(resource, items))


def filled(*pods: Raw) -> Mirror:
    """A mirror that has listed one Node and these Pods."""
    mirror = Mirror.of_node(NODE)
    listed(mirror, "services", [])
    listed(mirror, "nodes", [raw_node()])
    listed(mirror, "pods", pods)
    return mirror


# --- any interleaving ------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, st.sampled_from(["10.244.3.1", "10.244.3.2"])),
        st.tuples(st.just("delete"), NAMES, st.just("")),
        st.tuples(st.just("list"), st.just(""), st.just("")),
    ),
    max_size=30,
)


@given(STEPS, st.data())
def test_any_interleaving_of_events_and_lists_gives_the_state_of_a_fresh_list(
    steps: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    mirror, server = filled(), dict[str, Raw]()
    for number, (what, name, ip) in enumerate(steps):
        if what == "put":
            again = name in server and data.draw(st.booleans(), label="modified")
            uid = server[name]["metadata"]["uid"] if again else f"uid-{number}"
            if name in server and not again and data.draw(st.booleans(), label="deletion seen"):
                mirror.remove("pods", server[name])
            server[name] = a_pod(name, uid, ip)
            mirror.update("pods", server[name])
        elif what == "delete" and name in server:
            mirror.remove("pods", server.pop(name))
        elif what == "list":
            listed(mirror, "pods", list(server.values()))
    fresh = state([("Node", raw_node()), *(("Pod", raw) for raw in server.values())], NODE)
    have = mirror.state()
    assert (set(have.pods), have.nodes, have.services) == (set(fresh.pods), fresh.nodes, fresh.services)
    assert have == replace(fresh, pods=have.pods, served=True)


# --- what is a change ------------------------------------------------------------------------------------------------


def test_a_condition_or_a_resource_version_is_no_change() -> None:
    raw = a_pod("web", "u")
    mirror = filled(raw)
    before = mirror.version
    noisy: Raw = {
        **raw,
        "metadata": {**raw["metadata"], "resourceVersion": "99", "managedFields": []},
        "status": {**raw["status"], "conditions": [{"type": "Initialized", "status": "True"}]},
    }
    assert not mirror.update("pods", noisy)
    assert mirror.version == before


def test_an_address_is_a_change() -> None:
    mirror = filled(a_pod("web", "u", "10.244.3.1"))
    assert mirror.update("pods", a_pod("web", "u", "10.244.3.2"))
    assert mirror.state().pods[0].ips == ("10.244.3.2",)


def test_the_echo_of_a_patch_is_no_change() -> None:
    raw = a_pod("web", "u")
    mirror = filled(raw)
    mirror.annotate([Patch(PodRef("shop", "web", "u"), "[]")])
    echo = {**raw, "metadata": {**raw["metadata"], "annotations": {ANNOTATION: "[]"}}}
    assert not mirror.update("pods", echo)


def test_a_patch_of_a_pod_that_was_created_again_is_not_taken() -> None:
    mirror = filled(a_pod("web", "new"))
    mirror.annotate([Patch(PodRef("shop", "web", "old"), "[]")])
    (pod,) = mirror.state().pods
    assert isinstance(pod, Pod)
    assert pod.annotation is None


def test_the_deletion_of_a_former_pod_of_this_name_removes_nothing() -> None:
    mirror = filled(a_pod("web", "new"))
    assert not mirror.remove("pods", a_pod("web", "old"))
    assert len(mirror.state().pods) == 1


def test_a_deletion_of_an_unknown_object_is_no_change() -> None:
    mirror = filled()
    assert not mirror.remove("pods", a_pod("web", "u"))
    assert not mirror.remove("pods", {})


def test_a_pod_of_another_node_is_not_taken() -> None:
    mirror = filled()
    assert not mirror.update("pods", a_pod("web", "u", on="worker-2"))
    assert mirror.state().pods == ()


def test_a_list_with_the_same_objects_is_no_change_and_the_first_one_is() -> None:
    mirror = Mirror.of_node(NODE)
    objects: Mapping[Resource, list[Raw]] = {
        "services": [raw_service("web", [(80, 8080, "TCP")])],
        "nodes": [raw_node()],
        "pods": [a_pod("web", "u")],
    }
    for resource in objects:
        assert listed(mirror, resource, objects[resource])
        assert not listed(mirror, resource, objects[resource])
    assert listed(mirror, "pods", [])


def test_a_mirror_of_the_cluster_takes_the_pods_of_every_node_and_their_readiness() -> None:
    mirror = Mirror.of_cluster()
    assert set(mirror.objects) == {"services", "pods"}
    raw = a_pod("web", "u", on="worker-2")
    listed(mirror, "pods", [raw, a_pod("db", "v")])
    assert {pod.node for pod in mirror.state().pods} == {NODE, "worker-2"}
    ready = {**raw, "status": {**raw["status"], "conditions": [{"type": "Ready", "status": "True"}]}}
    assert mirror.update("pods", ready)
    assert [pod.ready for pod in mirror.state().pods if pod.ref.name == "web"] == [True]


def test_readiness_is_no_change_for_a_node() -> None:
    raw = a_pod("web", "u")
    mirror = filled(raw)
    assert not mirror.update(
        "pods", {**raw, "status": {**raw["status"], "conditions": [{"type": "Ready", "status": "True"}]}}
    )


def test_the_identity_of_the_cluster_is_that_of_a_list() -> None:
    kubernetes = raw_service("kubernetes", [(443, 6443, "TCP")], namespace="default")
    mirror = filled()
    mirror.update("services", kubernetes)
    assert mirror.state().identity == state([("Service", kubernetes)], NODE).identity
