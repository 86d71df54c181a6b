"""nplconf and kube-proxy on one node, in each combination of their backends."""

from collections.abc import Iterator

import kubenpl
import pytest
from echo import Answer
from kubenode import KubeNode
from kubenpl import Workload

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def proxy_mode(node: KubeNode, request: pytest.FixtureRequest) -> Iterator[str]:
    """Run kube-proxy in one mode after the other, and in its usual one afterwards."""
    node.use_kube_proxy(request.param)
    yield request.param
    node.use_kube_proxy("iptables")


@pytest.mark.parametrize("backend", ["nft", "nftables"])
@pytest.mark.usefixtures("proxy_mode")
def test_published_ports_and_services_work_beside_kube_proxy(node: KubeNode, web: Workload, backend: str) -> None:
    with kubenpl.installed(node, "timer", backend):
        web.wait_published(2)
        node.restart("kube-proxy")
        node.wait(lambda: by_service(node, web) in web.entries(), "the Service to answer")
        assert web.published(2)
        kubenpl.wait_verified(node)
    node.wait(lambda: by_service(node, web) in web.entries(), "the Service to answer without nplconf")


def by_service(node: KubeNode, web: Workload) -> str:
    """Ask the Service at its ClusterIP, which the client reaches through the node; the Pod that answered, or ""."""
    address = node.get(f"/api/v1/namespaces/{web.namespace}/services/web")["spec"]["clusterIP"]
    answer = node.client(80, address)
    return answer.pod if isinstance(answer, Answer) else ""
