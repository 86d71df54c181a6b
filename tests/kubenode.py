"""A real Kubernetes node with its control plane, in namespaces of its own, and a client beside it.

    client 10.10.10.77 --- 10.10.10.10 node, bridge cni0 --- Pods 10.244.3.0/24
           fd00:10::77     fd00:10::10                            fd00:244:3::/64

The node is a machine that booted systemd (machine.py). etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
kubelet, kube-proxy and containerd are units on it, so that a test stops and restarts them with systemctl. Images are
imported from archives; nothing is pulled. Requests of the client come from the test's own process.
"""

import contextlib
import http.client
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kube
import kube_binaries
import kubelet_mounts
import kubenode_files as files
import oci
import yaml
from echo import PATIENCE, Answer
from machine import NPLCONF, Machine, Run
from netns import CLIENT, Spaces, batch, inside, spaces

BUSYBOX = Path("/bin/busybox")
WHO = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n%s %s' "$(hostname)" "$REMOTE_ADDR"
"""
"""The page that names the Pod that answers and the client that it saw."""
APPLETS = ("sh", "cat", "hostname", "httpd", "printf", "sleep", "tail", "wget")


class KubeMachine(Machine):
    """A machine on which a kubelet and containerd can run. What they write is lost at a reboot."""

    extra = (sys.executable, kubelet_mounts.__file__)

    def _remove_cgroups(self) -> None:
        super()._remove_cgroups()
        for cgroup in kubelet_mounts.cgroups(self.name):
            kubelet_mounts.remove(cgroup)


@dataclass
class KubeNode:
    """A running one. seconds: stage of the start -> seconds from its beginning."""

    machine: Machine
    places: Spaces
    plane: kube.ControlPlane
    seconds: dict[str, float] = field(default_factory=dict)

    # --- the cluster

    def kubectl(self, *arguments: str, text_in: str = "", check: bool = True, timeout: float = 60) -> Run:
        """Run kubectl as an administrator."""
        command = (str(kube_binaries.programs() / "kubectl"), f"--kubeconfig={files.CONFIG}/admin.kubeconfig")
        return self.machine.run(*command, *arguments, text_in=text_in, check=check, timeout=timeout)

    def apply_manifest(self, *objects: Mapping[str, Any] | Path) -> None:
        """Apply objects, or files of the checkout, as `kubectl apply` does."""
        texts = [o.read_text() if isinstance(o, Path) else yaml.safe_dump(o) for o in objects]
        self.kubectl("apply", "-f", "-", text_in="\n---\n".join(texts))

    def get(self, path: str) -> dict[str, Any]:
        """Return an object of the API server."""
        return self.plane.ok("GET", path)

    def pods(self, namespace: str = "default", selector: str = "") -> list[dict[str, Any]]:
        """Return the Pods of a namespace. selector: of their labels ("app=web"), URL-quoted."""
        query = f"?labelSelector={selector}" if selector else ""
        return list(self.get(f"/api/v1/namespaces/{namespace}/pods{query}")["items"])

    @contextlib.contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """Create a namespace; what is in it is deleted in the background at the end."""
        self.plane.ok("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        self.wait(lambda: self.plane.call("GET", account).status == 200, f"the default account of {name}")
        try:
            yield name
        finally:
            self.plane.ok("DELETE", f"/api/v1/namespaces/{name}")

    # --- the node

    def run(self, *argv: str, check: bool = True, timeout: float = 60) -> Run:
        """Run a program on the node, as root."""
        return self.machine.run(*argv, check=check, timeout=timeout)

    def nplconf(self, *arguments: str, check: bool = True, timeout: float = 90) -> Run:
        """Run nplconf of this checkout on the node."""
        return self.run(*NPLCONF, *arguments, check=check, timeout=timeout)

    def wait(self, claim: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Wait until the claim is true; fail with what did not become so."""
        self.machine.wait_until(claim, what, seconds)

    def restart(self, unit: str) -> None:
        """Restart one of the node's programs."""
        self.run("systemctl", "restart", unit)

    def use_kube_proxy(self, mode: str) -> None:
        """Restart kube-proxy in a mode ("iptables" or "nftables"), and wait until its rules are there."""
        self.machine.write(f"{files.CONFIG}/proxy.yaml", files.kube_proxy(mode))
        self.restart("kube-proxy")
        shown = {
            "iptables": ["iptables-nft", "-t", "nat", "-S", "KUBE-SERVICES"],
            "nftables": ["nft", "list", "map", "ip", "kube-proxy", "service-ips"],
        }[mode]
        self.wait(lambda: "10.96.0.1" in self.run(*shown, check=False).stdout, f"kube-proxy's rules ({mode})")

    def kill_sandbox(self, namespace: str, pod: str) -> None:
        """Kill a Pod's sandbox: the kubelet makes a new one, with a new address, for the same Pod."""
        labels = {"io.cri-containerd.kind": "sandbox", "io.kubernetes.pod.name": pod}
        labels["io.kubernetes.pod.namespace"] = namespace
        wanted = ",".join(f'labels."{key}"=={value}' for key, value in labels.items())
        found = self.run("ctr", "-n", "k8s.io", "containers", "ls", "-q", wanted).stdout.split()
        assert len(found) == 1, found
        self.run("ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", found[0])

    def load_image(self, name: str, archive: bytes) -> None:
        """Import an image into containerd."""
        path = f"/run/images/{name}.tar"
        self.machine.path(path).parent.mkdir(exist_ok=True)
        self.machine.path(path).write_bytes(archive)
        self.run("ctr", "-n", "k8s.io", "images", "import", path)

    # --- the client

    def client(self, port: int, address: str = files.NODE_IPS[0], patience: float = PATIENCE) -> Answer | str:
        """Ask a Pod of `workloads` from outside, at a port of the node: an `Answer`, "refused", "silence", an error."""
        with inside(f"{self.places.prefix}-client"):
            return who(address, port, patience)

    def stages(self) -> str:
        """Return when each stage of the start had ended, in words."""
        return ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.seconds.items())

    def logs(self) -> str:
        """Return the last lines of each program, for a failure's message."""
        names = ("containerd", *files.units(Path(), Path()))
        done = [self.run("journalctl", "-u", name, "-n", "12", "-o", "cat", check=False).stdout for name in names]
        return "\n".join(f"--- {name}\n{text}" for name, text in zip(names, done, strict=True))


def who(address: str, port: int, patience: float) -> Answer | str:
    """Ask the page WHO from the namespace that this thread is in."""
    connection = http.client.HTTPConnection(address, port, timeout=patience)
    try:
        with contextlib.closing(connection):
            connection.request("GET", "/cgi-bin/who")
            pod, client = connection.getresponse().read().decode().split()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silence"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return Answer(pod, port, client.strip("[]").removeprefix("::ffff:"))


def busybox() -> bytes:
    """Return the image of Pods and of their sandboxes."""
    contents: dict[str, bytes | oci.Link] = {"bin/busybox": BUSYBOX.read_bytes(), "www/cgi-bin/who": WHO.encode()}
    contents |= {f"bin/{name}": oci.Link("busybox") for name in APPLETS}
    return oci.archive(files.IMAGE, contents, ["tail", "-f", "/dev/null"], os.uname().machine)


# --- the start --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running() -> Iterator[KubeNode]:
    """Start a node; it is Ready when the body begins."""
    began = time.monotonic()
    programs, etcd = kube_binaries.programs(), kube_binaries.etcd()
    with contextlib.ExitStack() as stack:
        machine, places = stack.enter_context(_machine(programs, etcd)), stack.enter_context(spaces())
        places.add("client")
        node = KubeNode(machine, places, stack.enter_context(contextlib.closing(_plane(machine, places))))
        for stage in (_wire, _write, _start_control_plane, _start_node, _wait_until_ready):
            try:
                stage(node)
            except AssertionError as failure:
                raise AssertionError(f"{stage.__name__}: {failure}\n{node.logs()}") from failure
            node.seconds[stage.__name__.strip("_")] = time.monotonic() - began
        yield node


def _machine(programs: Path, etcd: Path) -> KubeMachine:
    machine = KubeMachine()
    machine.shown = (programs, etcd.parent)
    return machine


def _plane(machine: Machine, places: Spaces) -> kube.ControlPlane:
    """The control plane as the client reaches it; its files are those of the machine."""
    tokens = {user: secrets.token_hex(16) for user in files.USERS}
    directory = machine.path(files.CONFIG)
    directory.mkdir(exist_ok=True)
    return kube.ControlPlane(directory, files.NODE_IPS[0], 6443, tokens, f"{places.prefix}-client")


def _wire(node: KubeNode) -> None:
    """Connect node and client. Each is the other's gateway: hostNetwork Pods and the client reach Services by that."""
    space = f"{node.places.prefix}-client"
    batch("", f"link add eth0 netns {space} type veth peer name client netns {node.machine.pid}")
    ways = ["default via 10.10.10.77", "default via fd00:10::77"]
    own = ["address add 10.10.10.10/24 dev client", "address add fd00:10::10/64 dev client nodad", "link set client up"]
    node.machine.run("ip", "-batch", "-", text_in="\n".join([*own, *(f"route add {way}" for way in ways)]) + "\n")
    addresses = [f"address add {CLIENT['IPv4']}/24 dev eth0", f"address add {CLIENT['IPv6']}/64 dev eth0 nodad"]
    gateways = [f"route add default via {address} dev eth0" for address in files.NODE_IPS]
    batch(f"-n {space}", *addresses, "link set eth0 up", *gateways)
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    node.run("mount", "--make-rshared", "/")  # volumes of Pods


def _write(node: KubeNode) -> None:
    plane, machine = node.plane, node.machine
    kube.write_files(plane.directory, files.USERS, plane.tokens)
    for name, user in files.KUBECONFIGS.items():
        ca = {"certificate-authority": f"{files.CONFIG}/pki/apiserver.crt"}
        plane.kubeconfig(name, {"token": plane.tokens[user]}, **ca)
    machine.write("/etc/containerd/config.toml", files.CONTAINERD)
    machine.write("/etc/cni/net.d/10-bridge.conflist", files.cni())
    machine.write(f"{files.CONFIG}/kubelet.yaml", files.kubelet())
    machine.write(f"{files.CONFIG}/proxy.yaml", files.kube_proxy("iptables"))
    machine.write("/etc/hosts", f"127.0.0.1 localhost\n{files.NODE_IPS[0]} {files.NODE}\n")
    for name, text in files.units(kube_binaries.programs(), kube_binaries.etcd()).items():
        machine.write(f"/etc/systemd/system/{name}.service", text)
    node.run("hostname", files.NODE)
    node.run("systemctl", "daemon-reload")


def _start_control_plane(node: KubeNode) -> None:
    node.run("systemctl", "start", "etcd", "kube-apiserver", "containerd")
    node.load_image("busybox", busybox())
    kube.wait(node.plane)


def _start_node(node: KubeNode) -> None:
    node.run("systemctl", "start", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")


def _wait_until_ready(node: KubeNode) -> None:
    path = f"/api/v1/nodes/{files.NODE}"

    def ready() -> bool:
        answer = node.plane.call("GET", path)
        return answer.status == 200 and condition(answer.body, "Ready")

    node.wait(ready, "the node to be Ready", 60)


def condition(raw: Mapping[str, Any], kind: str) -> bool:
    """Tell whether a Pod or Node has a condition with status True."""
    found = raw.get("status", {}).get("conditions", ())
    return any(entry["type"] == kind and entry["status"] == "True" for entry in found)
