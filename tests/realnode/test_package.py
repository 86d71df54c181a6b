"""The deb on a real node, with the timer: installed as the page on packages says."""

from collections.abc import Iterator

import kubenode_files as files
import kubenpl
import packagebox
import pytest
import rollouts
import yaml
from kubenode import KubeNode

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", autouse=True)
def package(node: KubeNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install it, start the timer, and purge it at the end."""
    out = tmp_path_factory.mktemp("packages")
    packagebox.build(out, "deb")
    (deb,) = out.glob("*.deb")
    node.machine.path("/var/nplconf.deb").write_bytes(deb.read_bytes())
    config = {"node": files.NODE, "kubeconfig": f"{kubenpl.DIRECTORY}/kubeconfig"}
    node.machine.write(f"{kubenpl.DIRECTORY}/config.yaml", yaml.safe_dump(config))
    kubenpl.adapt_units(node)
    node.run("dpkg", "--force-confold", "--install", "/var/nplconf.deb", timeout=300)
    try:
        node.run("nplconf", "install-units", "--now", timeout=90)
        yield
    finally:
        node.run("dpkg", "--remove", "nplconf", timeout=120)


def test_a_rollout_of_pods_with_the_gate_loses_no_request(node: KubeNode, namespace: str) -> None:
    assert rollouts.lost_in_rollout(rollouts.gated(node, namespace)) == []
