"""The deb on a real node with the timer, installed as the page on packages describes."""

import time
from collections.abc import Iterator

import kubenode_files as files
import kubenpl
import packagebox
import pytest
import rollouts
import yaml
from kube_binaries import say
from kubenode import KubeNode
from kubenpl import Workload

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", autouse=True)
def package(node: KubeNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[float]:
    """Install it, start the timer, and remove it at the end. Yields when dpkg began, by the monotonic clock."""
    (deb,) = packagebox.built(tmp_path_factory).glob("*.deb")
    node.machine.path("/var/nplconf.deb").write_bytes(deb.read_bytes())
    config = {"node": files.NODE, "kubeconfig": f"{kubenpl.DIRECTORY}/kubeconfig"}
    node.machine.write(f"{kubenpl.DIRECTORY}/config.yaml", yaml.safe_dump(config))
    kubenpl.adapt_units(node)
    began = time.monotonic()
    node.run("dpkg", "--force-confold", "--install", "/var/nplconf.deb", timeout=300)
    try:
        node.run("nplconf", "install-units", "--now", timeout=90)
        yield began
    finally:
        node.run("dpkg", "--remove", "nplconf", timeout=120)


def test_a_deployment_is_published_and_reached(package: float, web: Workload) -> None:
    web.wait_published(2)
    say(f"from `dpkg --install` to a published Deployment: {time.monotonic() - package:.1f} s")


def test_a_rollout_of_pods_with_the_gate_loses_no_request(node: KubeNode, namespace: str) -> None:
    assert rollouts.lost_in_rollout(rollouts.gated(node, namespace)) == []
