"""One real node for all tests of this directory, with nplconf installed as each test module requires."""

from collections.abc import Iterator

import kubenode
import kubenpl
import pytest
import workloads
from kube_binaries import say

WAYS = (kubenpl.Way("timer", "nft"), kubenpl.Way("watch", "nftables"))


@pytest.fixture(scope="package")
def node() -> Iterator[kubenode.KubeNode]:
    """A real node that is Ready, with nplconf's rights and token; nplconf itself is not installed."""
    with kubenode.running() as found:
        kubenpl.grant(found)
        say(f"a real node is Ready after {max(found.seconds.values()):.1f} s: {found.stages()}")
        yield found


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def way(node: kubenode.KubeNode, request: pytest.FixtureRequest) -> Iterator[kubenpl.Way]:
    """Run nplconf on the node for the tests of a module, one way after the other."""
    with kubenpl.installed(node, *request.param):
        yield request.param


@pytest.fixture
def namespace(node: kubenode.KubeNode, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    with node.namespace(f"t{abs(hash(request.node.nodeid)) % 10**9}") as name:
        yield name


@pytest.fixture
def web(node: kubenode.KubeNode, namespace: str) -> kubenpl.Workload:
    """A Deployment of two Pods behind an NPL Service, just applied."""
    node.apply_manifest(workloads.deployment("web", namespace), workloads.service("web", namespace))
    return kubenpl.Workload(node, namespace)
