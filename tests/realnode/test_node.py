"""The real node itself: its programs run, and nothing of it remains on this machine."""

from pathlib import Path

import kubelet_mounts
import kubenode_files as files
import pytest
from kubenode import KubeMachine, KubeNode

pytestmark = pytest.mark.cluster


def test_all_programs_run_and_have_one_version(node: KubeNode) -> None:
    for unit in files.units(Path(), Path()):
        assert node.machine.state(unit)["ActiveState"] == "active", unit
    versions = {line.split()[-1] for line in node.kubectl("version").stdout.splitlines() if "Kustomize" not in line}
    versions.add(node.get(f"/api/v1/nodes/{files.NODE}")["status"]["nodeInfo"]["kubeletVersion"])
    assert len(versions) == 1


def test_the_machine_leaves_nothing_on_the_host() -> None:
    with KubeMachine() as machine:
        cgroups = kubelet_mounts.cgroups(machine.name)
        assert cgroups
        assert all(cgroup.is_dir() for cgroup in cgroups)
    assert not any(cgroup.exists() for cgroup in cgroups)
    assert not machine.directory.exists()
