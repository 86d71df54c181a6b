"""Beside the real kube-proxy, in both of its modes: its Services and the mappings work side by side."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apisite
import kube
import kube_binaries
import pytest
import worlds
import yaml
from apisite import Site
from area import Area
from echo import Answer
from netns import BACKENDS, CLIENT, inside

from nplconf.publish import annotation

pytestmark = [pytest.mark.api, pytest.mark.kernel]
NODE_IP = "10.10.10.10"
SERVED, MAPPED = "10.244.3.7", "10.244.3.8"
UNCHECKED = {"insecure-skip-tls-verify": True, "certificate-authority": None}
MODES = ("iptables", "nftables")


@dataclass(slots=True)
class Beside:
    """A node with a kube-proxy, a Pod behind a Service of type NodePort, and a Pod that is mapped."""

    node: Site
    mode: str
    server: str
    node_port: int = 0
    _running: "subprocess.Popen[bytes] | None" = field(default=None)

    def build(self) -> None:
        area = self.node.area
        own = {"addresses": [{"type": "InternalIP", "address": NODE_IP}]}
        area.plane.ok("PATCH", f"/api/v1/nodes/{area.node}/status", {"status": own})
        for name, ip in (("served", SERVED), ("mapped", MAPPED)):
            self.node.create(self.node.routed(name, ip))
        mapped = worlds.raw_service("mapped", [(80, 8080, "TCP")])
        mapped["spec"]["selector"] = {"app": "mapped"}
        area.create_service(mapped)
        self.node_port = self.add_service("served")

    def add_service(self, name: str) -> int:
        """A Service of type NodePort with its endpoint; the nodePort."""
        area = self.node.area
        raw = worlds.raw_service(name, [(80, 8080, "TCP")], enabled=False)
        raw["spec"] |= {"type": "NodePort", "selector": {"app": "served"}}
        made = area.create_service(raw)
        path = f"/apis/discovery.k8s.io/v1/namespaces/{area.namespace}/endpointslices"
        area.plane.ok(
            "POST",
            path,
            {
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [SERVED], "conditions": {"ready": True}, "nodeName": area.node}],
                "ports": [{"name": made["spec"]["ports"][0]["name"], "port": 8080, "protocol": "TCP"}],
            },
        )
        return int(made["spec"]["ports"][0]["nodePort"])

    def start(self) -> None:
        """kube-proxy, which has written its rules when this returns."""
        config = self.node.directory / "kube-proxy.yaml"
        config.write_text(yaml.safe_dump(self._config()))
        argv = ["ip", "netns", "exec", self.node.node, str(kube_binaries.proxy()), "--config", str(config)]
        with (self.node.directory / "kube-proxy.log").open("ab") as log:
            self._running = subprocess.Popen(argv, stdout=log, stderr=log)
        self.wait_for(lambda: self.ask(self.node_port), "served")

    def stop(self) -> None:
        if self._running:
            self._running.kill()
            self._running.wait()

    def _config(self) -> dict[str, Any]:
        plane = self.node.area.plane
        admin = plane.kubeconfig(
            f"proxy-{self.node.area.node}", {"token": plane.tokens[kube.ADMIN]}, self.server, **UNCHECKED
        )
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": self.mode,
            "hostnameOverride": self.node.area.node,
            "clientConnection": {"kubeconfig": str(admin)},
            "detectLocalMode": "ClusterCIDR",
            "clusterCIDR": "10.244.0.0/16",
            "bindAddress": "0.0.0.0",
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "oomScoreAdj": -1,
        }

    def ask(self, number: int, place: str = "client") -> Answer | str:
        return self.node.ask(place, NODE_IP, number, patience=0.5)

    def wait_for(self, request: Callable[[], Answer | str], pod: str) -> None:
        until = time.monotonic() + 60
        while not isinstance(outcome := request(), Answer) or outcome.pod != pod:
            log = Path(self.node.directory, "kube-proxy.log").read_text()
            assert time.monotonic() < until, f"{outcome}: {log[-3000:]}"
            time.sleep(0.1)

    def number(self) -> int:
        """The port at which the mapped Pod is published."""
        (entry,) = annotation.parse(self.node.area.annotation("mapped"))
        return entry.node_port

    def theirs(self) -> list[str]:
        """All rules that kube-proxy has written."""
        tables = [self.node.run("nft", "--stateless", "list", "table", word, "kube-proxy") for word in ("ip", "ip6")]
        saved = [line for family in worlds.BOTH for line in self.node.rules(family) if "NPLCONF" not in line]
        return [*saved, *(line for table in tables for line in table.stdout.splitlines())]

    def converged(self) -> list[str]:
        """The same once kube-proxy writes no more: each family has its own turn."""
        found: list[str] = []
        until = time.monotonic() + 30
        while (now := self.theirs()) != found:
            assert time.monotonic() < until
            found = now
            time.sleep(1.5)
        return found


@contextlib.contextmanager
def relay(plane: kube.ControlPlane, space: str) -> Iterator[str]:
    """The API server as a namespace reaches it, with its watches; the URL."""
    with inside(space):
        listening = socket.create_server(("127.0.0.1", 6443))
    ends: list[socket.socket] = [listening]

    def copy(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, server = listening.accept()[0], socket.create_connection((plane.host, plane.port))
                ends.extend((client, server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield "https://127.0.0.1:6443"
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["nft", "nftables"])
def backend(request: pytest.FixtureRequest) -> str:
    assert request.param in BACKENDS
    return str(request.param)


@pytest.fixture
def beside(area: Area, tmp_path: Path, mode: str, backend: str) -> Iterator[Beside]:
    with apisite.site(tmp_path, backend, area) as node, contextlib.ExitStack() as stack:
        made = Beside(node, mode, stack.enter_context(relay(area.plane, node.node)))
        stack.callback(made.stop)
        made.build()
        made.start()
        yield made


def test_mappings_and_services_work_side_by_side_through_changes_and_restarts(beside: Beside) -> None:
    before = beside.converged()
    assert len(before) > 20
    assert beside.node.apply().code == 0
    assert beside.theirs() == before

    def all_work() -> None:
        for place in ("client", "node"):
            answer = beside.ask(beside.number(), place)
            assert isinstance(answer, Answer), (place, answer)
            assert answer.pod == "mapped"
            assert place != "client" or answer.client == CLIENT["IPv4"]
        served = beside.ask(beside.node_port)
        assert isinstance(served, Answer)
        assert served.pod == "served"

    all_work()
    another = beside.add_service("another")
    beside.wait_for(lambda: beside.ask(another), "served")
    all_work()
    beside.stop()
    beside.start()
    all_work()
    assert beside.node.nplconf("verify").returncode == 0
    rules = beside.node.ours()
    assert beside.node.apply().counts == (1, 0, 0)
    assert beside.node.ours() == rules


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_auto_chooses_the_backend_that_kube_proxy_uses(beside: Beside) -> None:
    beside.node.backend = "auto"
    assert beside.node.apply().code == 0
    expected = "nftables" if beside.mode == "nftables" else "nft"
    assert [kind for kind in BACKENDS if beside.node.ours(backend=kind)] == [expected]
    assert isinstance(beside.ask(beside.number()), Answer)
    assert beside.node.nplconf("cleanup").returncode == 0
    assert [kind for kind in BACKENDS if beside.node.ours(backend=kind)] == []
