"""nplconf as Pods on a real node: installed with `kubectl apply -k`, updated under traffic, and removed."""

import contextlib
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagebox
import kubenode_files as files
import manifests
import pytest
import rollouts
from echo import Answer
from kube_binaries import say
from kubenode import KubeNode
from kubenpl import Workload
from netns import inside
from repeating import repeated

pytestmark = pytest.mark.cluster
INTRUDER = Path(__file__).parents[1] / "intruder.py"
WANTED = (61900, 61940)
"""The numbers that the intruder tries to get: a few, so that it tries each one often."""
NAMESPACE = "--namespace=nplconf"


@pytest.fixture(scope="module", autouse=True)
def daemonset(node: KubeNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[float]:
    """Both DaemonSets with the image of this checkout, from nothing to ready, and removed as the page says.

    Yields when `kubectl apply` began, by the monotonic clock.
    """
    directory = tmp_path_factory.mktemp("image")
    imagebox.builder("write", imagebox.inputs(directory / "inputs"), directory / "image.tar")
    node.load_image("nplconf", (directory / "image.tar").read_bytes())
    began = time.monotonic()
    node.kubectl("apply", "-k", str(manifests.DAEMONSET / "base"))
    try:
        rolled_out(node)
        yield began
    finally:
        node.kubectl("delete", "daemonset", "nplconf", "nplconf-hold", NAMESPACE, "--cascade=foreground")
        node.apply_manifest(manifests.cleanup_job(files.NODE, container_image()))
        job = f"job/nplconf-cleanup-{files.NODE}"
        node.kubectl("wait", "--for=condition=complete", "--timeout=60s", job, NAMESPACE, timeout=70)
        node.kubectl("delete", job, NAMESPACE)
        chains = node.run("iptables-save").stdout + node.run("ip6tables-save").stdout
        assert "NPLCONF" not in chains


def container_image() -> str:
    return str(manifests.container("base", "watch")["image"])


def rolled_out(node: KubeNode) -> None:
    """Wait until the Pods of both DaemonSets are those of their templates."""
    for name in ("nplconf-hold", "nplconf"):
        try:
            node.kubectl("rollout", "status", f"daemonset/{name}", NAMESPACE, "--timeout=90s", timeout=100)
        except AssertionError as failure:
            shown = [node.kubectl(*words, NAMESPACE, check=False).stdout for words in (("describe", "pods"),)]
            logs = [
                node.kubectl("logs", f"daemonset/{one}", NAMESPACE, check=False) for one in ("nplconf-hold", "nplconf")
            ]
            raise AssertionError(f"{failure}\n{shown}\n{logs}") from failure


def in_watch(node: KubeNode, *argv: str, check: bool = True) -> str:
    """Run a program in the container `watch`; what it prints."""
    done = node.kubectl("exec", "daemonset/nplconf", NAMESPACE, "-c", "watch", "--", *argv, check=check)
    return str(done.stdout)


def pod(node: KubeNode, component: str) -> dict[str, Any]:
    """The Pod of a component that is not being deleted."""
    found = node.pods("nplconf", f"app.kubernetes.io%2Fcomponent%3D{component}")
    (one,) = (raw for raw in found if "deletionTimestamp" not in raw["metadata"])
    return one


@contextlib.contextmanager
def nobody_gets_a_number(node: KubeNode, until: Path) -> Iterator[None]:
    """A program on the node tries to bind the numbers until the body has ended, and never succeeds."""
    command = [
        "nsenter",
        "-t",
        str(node.machine.pid),
        "-n",
        sys.executable,
        str(INTRUDER),
        *map(str, WANTED),
        str(until),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as intruder:
        try:
            yield
        finally:
            until.touch()
        printed, _ = intruder.communicate(timeout=120)
    found = json.loads(printed)
    assert (found["got"], found["tried"] > 0) == ([], True)


@contextlib.contextmanager
def requests(web: Workload) -> Iterator[list[Answer | str]]:
    """Ask each published port again and again; the answers. A request is lost when it has none after 20 s."""
    seen: list[Answer | str] = []
    entries = [entry for found in web.entries().values() for entry in found]

    def ask() -> None:
        seen.extend(web.node.client(entry.node_port, entry.node_ip, 20) for entry in entries)

    with repeated(ask, 0.05):
        yield seen


def test_a_deployment_is_published_and_reached(daemonset: float, node: KubeNode, web: Workload) -> None:
    web.wait_published(2)
    say(f"from `kubectl apply -k` to a published Deployment: {time.monotonic() - daemonset:.1f} s")
    node.wait(lambda: json.loads(in_watch(node, "nplconf", "verify", "-o", "json", check=False))["ok"], "verify")


@pytest.mark.parametrize("name", ["nplconf-hold", "nplconf"])
def test_an_update_loses_no_request_no_connection_and_no_number(
    node: KubeNode, web: Workload, tmp_path: Path, name: str
) -> None:
    web.wait_published(2)
    entries = web.entries()
    component = "hold" if name == "nplconf-hold" else "watch"
    before = pod(node, component)["metadata"]["uid"]
    (first, _) = next(iter(entries.values()))
    connection = http.client.HTTPConnection(first.node_ip, first.node_port, timeout=30)
    with inside(f"{node.places.prefix}-client"):
        connection.connect()
    with contextlib.closing(connection):
        with nobody_gets_a_number(node, tmp_path / "until"), requests(web) as seen:
            node.kubectl("rollout", "restart", f"daemonset/{name}", NAMESPACE)
            rolled_out(node)
        assert pod(node, component)["metadata"]["uid"] != before
        assert seen
        assert [answer for answer in seen if not isinstance(answer, Answer)] == []
        connection.request("GET", "/cgi-bin/who")
        assert connection.getresponse().status == 200
    assert web.entries() == entries
    node.wait(lambda: json.loads(in_watch(node, "nplconf", "verify", "-o", "json", check=False))["ok"], "verify")


def test_a_rollout_of_pods_with_the_gate_loses_no_request(node: KubeNode, namespace: str) -> None:
    assert rollouts.lost_in_rollout(rollouts.gated(node, namespace)) == []


def test_a_daemon_that_is_killed_in_its_container_leaves_no_number_free(node: KubeNode, tmp_path: Path) -> None:
    before = pod(node, "hold")["status"]["containerStatuses"][0]["restartCount"]
    keeper, daemon = hold_processes(node)
    with nobody_gets_a_number(node, tmp_path / "until"):
        node.run("kill", "-9", daemon)
        node.wait(lambda: len(found := hold_processes(node)) == 2 and daemon not in found, "another daemon")
    assert hold_processes(node)[0] == keeper
    assert pod(node, "hold")["status"]["containerStatuses"][0]["restartCount"] == before


def hold_processes(node: KubeNode) -> list[str]:
    """The processes of `nplconf hold` on the node, the keeper first."""
    return sorted(node.run("pgrep", "-f", "nplconf hold --keep", check=False).stdout.split(), key=int)


def test_doctor_gives_advice_that_fits_a_container(node: KubeNode) -> None:
    checks = json.loads(in_watch(node, "nplconf", "doctor", "-o", "json", check=False))["checks"]
    failed = {one["check"]: one["message"] for one in checks if one["status"] == "fail"}
    assert failed == {}
    fixes = " ".join(f"{one['fix']} {one['message']}" for one in checks)
    assert not re.search(r"systemctl|apt-get|install-units|nplconf-hold\.service|sudo", fixes), fixes
