"""Changes of published Pods in a real cluster: rollouts, scaling, dead sandboxes, restarts of the kubelet."""

import pytest
import workloads
from kubenode import KubeNode, condition
from kubenpl import Workload, traffic

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("way")]


def test_a_rollout_moves_the_mappings_to_the_new_pods(node: KubeNode, web: Workload) -> None:
    web.wait_published(2)
    before = web.entries()
    with traffic(web) as seen:
        node.apply_manifest(workloads.deployment("web", web.namespace, version="2"))
        node.kubectl("rollout", "status", "deployment/web", f"--namespace={web.namespace}", "--timeout=30s")
        web.wait_published(2)
    assert not set(web.entries()) & set(before)
    assert seen.wrong == []
    assert seen.answers["answered"] > 0
    freed = {entry.node_port for entries in before.values() for entry in entries}
    assert not freed & {entry.node_port for entries in web.entries().values() for entry in entries}
    node.wait(lambda: {node.client(number) for number in freed} == {"refused"}, "the freed ports to be refused")


def test_a_scale_down_removes_the_mapping_of_the_pod_that_ends(node: KubeNode, web: Workload) -> None:
    web.wait_published(2)
    before = web.entries()
    with traffic(web) as seen:
        node.apply_manifest(workloads.deployment("web", web.namespace, replicas=1))
        web.wait_published(1)
        ended = set(before) - set(web.entries())
        assert len(ended) == 1
        (entry, _) = before[ended.pop()]
        node.wait(lambda: node.client(entry.node_port) == "refused", "the freed port to be refused")
    assert seen.wrong == []


def test_a_pod_whose_sandbox_dies_keeps_its_port_at_its_new_address(node: KubeNode, web: Workload) -> None:
    web.wait_published(2)
    before = web.entries()
    pod = web.pods()[0]
    with traffic(web) as seen:
        node.kill_sandbox(web.namespace, pod["metadata"]["name"])
        node.wait(lambda: address(web, pod["metadata"]["uid"]) not in ("", pod["status"]["podIP"]), "a new address")
        web.wait_published(2)
    assert web.entries() == before
    assert seen.wrong == []


def test_a_restarted_kubelet_changes_no_mapping(node: KubeNode, web: Workload) -> None:
    web.wait_published(2)
    before = web.entries()
    with traffic(web) as seen:
        node.wait(lambda: lease(node), "the kubelet to report")
        started = lease(node)
        node.restart("kubelet")
        node.wait(lambda: lease(node) != started, "the restarted kubelet to report")
        web.wait_published(2)
    assert web.entries() == before
    assert set(seen.answers) == {"answered"}
    assert seen.wrong == []


def address(web: Workload, uid: str) -> str:
    """Return the address of a Pod that runs; "" for one that does not."""
    (raw,) = [raw for raw in web.pods() if raw["metadata"]["uid"] == uid]
    return str(raw["status"].get("podIP", "")) if condition(raw, "ContainersReady") else ""


def lease(node: KubeNode) -> str:
    """Return when the kubelet last renewed its lease; "" before the first time, some seconds after its start."""
    leases = node.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")["items"]
    return "".join(raw["spec"]["renewTime"] for raw in leases if raw["metadata"]["name"] == "worker-1")
