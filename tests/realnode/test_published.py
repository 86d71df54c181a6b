"""A Deployment behind an NPL Service on a real node: published, and reached from outside."""

import kubenode_files as files
import pytest
from kubenode import KubeNode
from kubenpl import Workload, wait_verified

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("way")]


def test_a_deployment_is_published_and_reached_with_the_clients_own_address(node: KubeNode, web: Workload) -> None:
    web.wait_published(2)
    entries = web.entries()
    assert {e.node_ip for found in entries.values() for e in found} == set(files.NODE_IPS)
    numbers = [{e.node_port for e in found} for found in entries.values()]
    assert [len(found) for found in numbers] == [1, 1]
    assert numbers[0] != numbers[1]
    wait_verified(node)
