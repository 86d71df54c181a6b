"""A client, two nodes and any number of Pods in network namespaces, with the real API server as their cluster.

client 10.10.10.77 --- bridge --- node-a 10.10.10.11 --- Pods 10.244.1.0/24, a link each
`------- node-b 10.10.10.12 --- Pods 10.244.2.0/24
"""

import contextlib
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import kube
import netns
from area import Area
from faultproxy import Proxy

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
READER = "/api/v1/namespaces/nplconf/serviceaccounts/nplconf-reader/token"
CLIENT = "10.10.10.77"
GATEWAY = "169.254.1.1"
_numbers = itertools.count(1)


@dataclass(slots=True)
class Machine:
    """A node: its namespace, its Node object, the credentials of its nplconf."""

    number: int
    space: str
    name: str
    kubeconfig: Path
    address: str
    job: "Job | None" = None


@dataclass(slots=True)
class Site:
    """Everything of one story."""

    places: netns.Spaces
    directory: Path
    area: Area
    client: str
    reader: Path
    machines: list[Machine] = field(default_factory=list)

    @staticmethod
    def environment() -> dict[str, str]:
        return dict(os.environ) | {"PYTHONPATH": str(ROOT)}

    def start(self, space: str, *argv: str, log: str) -> "subprocess.Popen[bytes]":
        """A program in a namespace; its pid is the one that is returned."""
        with (self.directory / log).open("ab") as file:
            return subprocess.Popen(["ip", "netns", "exec", space, *argv], stdout=file, stderr=file, cwd=self.directory)

    def nplconf(self, machine: Machine, command: str) -> list[str]:
        """The command line of a command on a node."""
        state = self.directory / f"state-{machine.number}"
        own = ["--node", machine.name, "--kubeconfig", str(machine.kubeconfig), "--state-dir", str(state)]
        argv = [sys.executable, "-m", "nplconf", command, *own, "--backend", "nftables", "--no-hold", "--no-events"]
        return ["ip", "netns", "exec", machine.space, *argv, "--cool-down", "0", "--namespace-share", "100"]


class Job:
    """nplconf on a node: `watch`, or `apply` again and again, so many seconds after the last run."""

    def __init__(self, site: Site, machine: Machine, period: float | None) -> None:
        self._site, self._machine, self._period = site, machine, period
        self._end = threading.Event()
        self._watch: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self.start()

    def start(self) -> None:
        self._end.clear()
        if self._period is None:
            self._watch = self._run("watch")
        else:
            self._thread = threading.Thread(target=self._again, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._watch:
            self._watch.terminate()
            self._watch.wait(10)
        if self._thread:
            self._thread.join()

    def _run(self, command: str) -> "subprocess.Popen[bytes]":
        argv = self._site.nplconf(self._machine, command)
        with (self._site.directory / f"nplconf-{self._machine.number}.log").open("ab") as log:
            return subprocess.Popen(argv, env=self._site.environment(), stdout=log, stderr=log, cwd=ROOT)

    def _again(self) -> None:
        while not self._end.is_set():
            self._run("apply").wait()
            self._end.wait(self._period)


@contextlib.contextmanager
def site(directory: Path, plane: kube.ControlPlane, nodes: int = 2) -> Iterator[Site]:
    """The machines, without any job and any Pod."""
    area = Area(plane)
    with netns.spaces() as places, contextlib.ExitStack() as stack:
        client = places.add("client")
        netns.batch(f"-n {client}", "link add br0 type bridge", f"address add {CLIENT}/24 dev br0", "link set br0 up")
        token = str(plane.ok("POST", READER, {"spec": {"expirationSeconds": 3600}})["status"]["token"])
        reader = plane.kubeconfig(f"reader-{area.number}", {"token": token})
        made = Site(places, directory, area, client, reader)
        for number in range(1, nodes + 1):
            made.machines.append(_machine(made, number, stack))
        try:
            yield made
        finally:
            for machine in made.machines:
                if machine.job:
                    machine.job.stop()


def _machine(site: Site, number: int, stack: contextlib.ExitStack) -> Machine:
    space = site.places.add(f"n{number}")
    address = f"10.10.10.1{number}"
    netns.sysctl(space, "net.ipv4.ip_forward", 1)
    netns.batch("", f"link add eth0 netns {space} type veth peer name n{number} netns {site.client}")
    netns.batch(f"-n {site.client}", f"link set n{number} master br0", f"link set n{number} up")
    netns.batch(f"-n {space}", f"address add {address}/24 dev eth0", "link set eth0 up")
    name = f"{site.area.node}-{number}"
    site.area.add_node(name, [("InternalIP", address)])
    proxy = stack.enter_context(Proxy(site.area.plane, namespace=space))
    return Machine(number, space, name, proxy.kubeconfig(name, token=site.area.token(name)), address)


def connect_pod(site: Site, machine: Machine) -> tuple[str, str]:
    """Make a Pod's namespace with a link to its node; its name and address."""
    number = next(_numbers) % 250 + 1
    space, ip = site.places.add(f"p{number}"), f"10.244.{machine.number}.{number}"
    link = f"pod{number}"
    netns.batch("", f"link add eth0 netns {space} type veth peer name {link} netns {machine.space}")
    netns.batch(
        f"-n {machine.space}",
        f"link set {link} up",
        f"address add {GATEWAY}/32 dev {link}",
        f"route add {ip}/32 dev {link}",
    )
    netns.batch(
        f"-n {space}",
        "link set eth0 up",
        f"address add {ip}/32 dev eth0",
        f"route add {GATEWAY}/32 dev eth0",
        f"route add default via {GATEWAY} dev eth0",
    )
    return space, ip
