"""The manifests of examples/kubernetes/daemonset, as kustomize builds them."""

import functools
import re
import subprocess
from pathlib import Path
from typing import Any

import kube_binaries
import yaml

DAEMONSET = Path(__file__).parents[1] / "examples/kubernetes/daemonset"
OVERLAYS = ("base", "overlays/nftables", "overlays/metrics", "overlays/reviewed")


@functools.cache
def built(directory: str) -> str:
    """What kustomize makes of a directory below examples/kubernetes/daemonset."""
    kubectl = kube_binaries.programs() / "kubectl"
    command = [str(kubectl), "kustomize", str(DAEMONSET / directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(directory: str, kind: str = "") -> list[dict[str, Any]]:
    """The objects of a directory, or those of one kind."""
    return [found for found in yaml.safe_load_all(built(directory)) if kind in ("", found["kind"])]


def cleanup_job(node: str, image: str) -> dict[str, Any]:
    """The Job that removes nplconf from a node, as the README has it made."""
    (script,) = re.findall(r'sed "([^"]*)" cleanup-job.yaml', (DAEMONSET / "README.md").read_text())
    script = script.replace("${node#node/}", node).replace("$image", image)
    command = ["sed", script, str(DAEMONSET / "cleanup-job.yaml")]
    return dict(yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def daemonset(directory: str, component: str) -> dict[str, Any]:
    """The DaemonSet of `hold` or `watch`."""
    label = "app.kubernetes.io/component"
    (found,) = (one for one in objects(directory, "DaemonSet") if one["metadata"]["labels"][label] == component)
    return found


def container(directory: str, component: str) -> dict[str, Any]:
    """The container that has the name of its component."""
    containers = daemonset(directory, component)["spec"]["template"]["spec"]["containers"]
    return next(dict(one) for one in containers if one["name"] == component)
