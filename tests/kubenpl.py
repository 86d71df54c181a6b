"""nplconf on a real node, installed and run as an operator does it, and the results that its users see."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import kubenode_files as files
import worlds
import yaml
from area import EXAMPLES
from booted import BOOT_ID, SAME_BOOT
from echo import Answer
from kubenode import KubeNode, condition
from netns import CLIENT
from repeating import repeated

from nplconf.publish import annotation
from nplconf.publish.annotation import Entry

DIRECTORY = "/etc/nplconf"
TIMER = "[Timer]\nOnUnitInactiveSec=1s\n"
"""A shorter period than the shipped one, so that a story waits less."""


class Way(NamedTuple):
    """How nplconf runs. manner: "timer" or "watch"; backend: as of `--backend`."""

    manner: str
    backend: str


def grant(node: KubeNode) -> None:
    """Give nplconf its rights and a token of this node, as examples/kubernetes/README.md says."""
    node.apply_manifest(EXAMPLES / "rbac.yaml", EXAMPLES / "policies.yaml")
    uid = node.get(f"/api/v1/nodes/{files.NODE}")["metadata"]["uid"]
    bound = ("--bound-object-kind=Node", f"--bound-object-name={files.NODE}", f"--bound-object-uid={uid}")
    made = node.kubectl("create", "token", "nplconf", "--namespace=nplconf", "--duration=24h", *bound)
    node.machine.write(f"{DIRECTORY}/token", made.stdout, 0o600)
    cluster = {"server": node.plane.server, "certificate-authority": f"{files.CONFIG}/pki/apiserver.crt"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "nplconf",
        "contexts": [{"name": "nplconf", "context": {"cluster": "cluster", "user": "nplconf"}}],
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "nplconf", "user": {"tokenFile": f"{DIRECTORY}/token"}}],
    }
    node.machine.write(f"{DIRECTORY}/kubeconfig", yaml.safe_dump(config), 0o600)


@contextlib.contextmanager
def installed(node: KubeNode, manner: str, backend: str) -> Iterator[None]:
    """Run nplconf on the node until the body ends, and uninstall it. manner: "timer" or "watch"."""
    config = {"node": files.NODE, "kubeconfig": f"{DIRECTORY}/kubeconfig", "backend": backend}
    node.machine.write(f"{DIRECTORY}/config.yaml", yaml.safe_dump(config))
    adapt_units(node)
    try:
        node.nplconf("install-units", "--mode", manner, "--now")
        yield
    finally:
        node.nplconf("uninstall-units")


def adapt_units(node: KubeNode) -> None:
    """Have the units know the boot of this machine, and the timer run more often, before they are installed."""
    node.machine.write("/var/boot_id", node.run("cat", BOOT_ID).stdout)
    node.machine.write("/etc/systemd/system/nplconf.service.d/99-test.conf", SAME_BOOT)
    node.machine.write("/etc/systemd/system/nplconf.timer.d/99-test.conf", TIMER)


def wait_verified(node: KubeNode) -> None:
    """Wait until `nplconf verify` finds no difference: Pods of earlier tests may still be ending."""
    node.wait(lambda: node.nplconf("verify", check=False).returncode == 0, "verify to find no difference")


@dataclass
class Workload:
    """Pods of one namespace behind Services that ask for mappings. name: the label "app" of the Pods."""

    node: KubeNode
    namespace: str
    name: str = "web"

    def pods(self) -> list[dict[str, Any]]:
        """Return the Pods that are not being deleted."""
        found = self.node.pods(self.namespace, f"app%3D{self.name}")
        return [raw for raw in found if "deletionTimestamp" not in raw["metadata"]]

    def ready(self, count: int) -> bool:
        """Tell whether so many Pods are Ready, and no other one is there."""
        found = self.node.pods(self.namespace, f"app%3D{self.name}")
        return len(found) == count and all(condition(raw, "Ready") for raw in found)

    def entries(self) -> dict[str, tuple[Entry, ...]]:
        """Return what the annotations publish: Pod -> entries."""
        return {raw["metadata"]["name"]: annotation.parse(worlds.raw_annotation(raw)) for raw in self.pods()}

    def answers(self) -> dict[str, set[Answer | str]]:
        """Ask each published port from outside: Pod -> the answers."""
        return {
            pod: {self.node.client(entry.node_port, entry.node_ip) for entry in entries}
            for pod, entries in self.entries().items()
        }

    def published(self, count: int) -> bool:
        """Tell whether there are so many Pods, and each answers at its port and sees the client's own address."""
        found = self.answers()
        clients = set(CLIENT.values())
        return len(found) == count and all(
            {(a.pod, a.client) for a in answers if isinstance(a, Answer)} == {(pod, client) for client in clients}
            for pod, answers in found.items()
        )

    def wait_published(self, count: int) -> None:
        """Wait until so many Pods are Ready and published; fail with what the annotations and Pods answered."""
        try:
            self.node.wait(lambda: self.ready(count) and self.published(count), f"{count} published Pods")
        except AssertionError as failure:
            raise AssertionError(f"{failure}: {self.answers()}\n{self.node.logs()}") from failure


@dataclass
class Traffic:
    """A client that asks all published ports again and again, and counts the answers."""

    workload: Workload
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Answers of a Pod to which the port did not belong."""

    def ask(self) -> None:
        """Ask each port once."""
        for pod, entries in self.workload.entries().items():
            for entry in entries:
                answer = self.workload.node.client(entry.node_port, entry.node_ip)
                self.answers[answer if isinstance(answer, str) else "answered"] += 1
                if isinstance(answer, Answer) and answer.pod != pod:
                    self.wrong.append(f"{entry.node_port} of {pod} was answered by {answer.pod}")


@contextlib.contextmanager
def traffic(workload: Workload) -> Iterator[Traffic]:
    """Ask in a thread until the body ends."""
    made = Traffic(workload)
    with repeated(made.ask, 0.1):
        yield made
