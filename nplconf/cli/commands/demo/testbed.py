"""The testbed: four network namespaces, wired as a node with a routed CNI and a client machine.

    client 192.0.2.77 ---- 192.0.2.1 node ---- web-0 10.244.3.17
                                          `--- api-0 10.244.3.18

All links are created inside the namespaces, invisible to the host's network. The names contain the process ID, so two
demos do not conflict. Everything is removed at the end, also after SIGINT, SIGTERM and SIGHUP.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nplconf.cli.commands.demo import DemoError
from nplconf.cli.commands.demo.cluster import CLIENT_IP, NODE, NODE_IP, PODS, DemoCluster, objects
from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.interpreter import PYTHON, SAFE_DIRECTORY
from nplconf.node import command, packages

Place = str
""""node", "client", or the name of a Pod."""
PORT_RANGE = "61000-62000"
GATEWAY = "169.254.1.1"
"""The next hop of a Pod on a routed CNI: the node's end of the Pod's link."""
PROGRAMS = ("conntrack", "ip")
"""The programs that the demo needs with any backend."""
SEARCH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
COMMAND_SECONDS = 60
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def check_requirements(backend: str) -> None:
    """Check what the demo needs.

    Raises:
        PermissionDeniedError: The process is not root.
        UnavailableError: A program is missing.
    """
    if os.geteuid() != 0:
        raise PermissionDeniedError("the demo makes network namespaces: run it as root (sudo nplconf demo)")
    needed = (*PROGRAMS, "nft" if uses_nftables(backend) else "iptables-restore")
    if missing := [program for program in needed if not _is_installed(program)]:
        raise UnavailableError(f"the demo lacks programs: {packages.installation(command.find, *missing)}")


def uses_nftables(backend: str) -> bool:
    """Return whether the demo runs on nftables: if requested, or if only nft is installed."""
    alone = _is_installed("nft") and not _is_installed("iptables-restore")
    return backend == "nftables" or (backend == "auto" and alone)


def _is_installed(program: str) -> bool:
    return shutil.which(program, path=SEARCH) is not None


@dataclass(slots=True)
class Testbed:
    """The namespaces, a temporary directory, and the processes in them."""

    prefix: str
    directory: Path
    backend: str
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def cluster(self) -> DemoCluster:
        """The cluster, as the API server would have it."""
        return DemoCluster(self.directory / "cluster.yaml")

    @property
    def _errors(self) -> Path:
        """The stderr of background processes."""
        return self.directory / "errors.log"

    # --- commands

    def run(self, place: Place, *argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in a place to its end. stderr is merged into stdout, as on a terminal."""
        return subprocess.run(
            self._inside(place, argv),
            cwd=self.directory,
            env=_clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )

    def nplconf(self, *argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run nplconf on the node, as its operator runs it."""
        return self.run("node", *PYTHON, "-m", "nplconf", *argv, **environment)

    def program(self, place: Place, *argv: str) -> dict[str, Any]:
        """Run one of `programs` and return what it printed."""
        done = self.run(place, *_program_of(argv))
        try:
            line: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise DemoError(f"demo: {' '.join(argv)} in {place} failed: {done.stdout.strip()}") from None
        return line

    def start_daemon(self) -> None:
        """Start `nplconf hold` on the node, and wait until it answers."""
        daemon = self._start("node", *PYTHON, "-m", "nplconf", "hold", "--config", "node.yaml")
        deadline = time.monotonic() + COMMAND_SECONDS / 4
        while not self._daemon_answers():
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"demo: the hold daemon did not start: {self._errors.read_text().strip()}")
            time.sleep(0.02)

    @property
    def lister(self) -> tuple[str, ...]:
        """The command that prints the rules of the backend in use."""
        if uses_nftables(self.backend):
            return ("nft", "list", "table", "inet", "nplconf")
        kind = "nft" if self.backend == "auto" else self.backend.removeprefix("iptables-")
        return (next((p for p in (f"iptables-{kind}-save", "iptables-save") if _is_installed(p)), ""), "-t", "nat")

    def rules(self) -> list[str]:
        """Return the rules of nplconf on the node, as printed."""
        done = self.run("node", *self.lister)
        if uses_nftables(self.backend):
            return done.stdout.splitlines() if done.returncode == 0 else []
        return [line for line in done.stdout.splitlines() if "NPLCONF" in line]

    def rules_to(self, address: str) -> tuple[str, list[str]]:
        """Return a command that prints the rules that lead to a Pod, and its output."""
        if uses_nftables(self.backend):
            listed = self.run("node", "nft", "list", "map", "inet", "nplconf", "tcp-ipv4").stdout
            elements = re.findall(r'\d+ comment "[^"]*" : [0-9.]+ \. \d+', listed)
            pattern = f"[0-9]+ comment [^ ]+ : {address} . [0-9]+"
            shown = f"nft list map inet nplconf tcp-ipv4 | grep -Eo '{pattern}'"
            return shown, [element for element in elements if f" : {address} . " in element]
        shown = f"{' '.join(self.lister)} | grep -F 'to-destination {address}'"
        return shown, [line for line in self.rules() if f"--to-destination {address}:" in line]

    # --- setup and removal

    def build(self) -> None:
        """Create the namespaces, links, routes and files, and start the servers."""
        for place in ("node", "client", *(pod.name for pod in PODS)):
            self._ip("netns", "add", self._namespace(place))
            self._ip("-n", self._namespace(place), "link", "set", "lo", "up")
        self._wire("client", f"{CLIENT_IP}/24", f"{NODE_IP}/24")
        for pod in PODS:
            self._wire(pod.name, f"{pod.ip}/32", f"{GATEWAY}/32")
            self._ip("-n", self._namespace(pod.name), "route", "add", GATEWAY, "dev", "eth0")
            self._ip("-n", self._namespace(pod.name), "route", "add", "default", "via", GATEWAY)
            self._ip("-n", self._namespace("node"), "route", "add", pod.ip, "dev", pod.name)
        self.run("node", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self.cluster.write(objects())
        (self.directory / "node.yaml").write_text(self._config())
        for pod in PODS:
            self._start(pod.name, *_program_of(("serve", pod.name, *map(str, pod.ports))))

    def _config(self) -> str:
        """Return the node's config file."""
        return (
            f"node: {NODE}\nclusterState: [cluster.yaml]\nwriteBack: cluster.yaml\nportRange: {PORT_RANGE}\n"
            f"stateDir: {self.directory}/state\nholdSocket: {self.directory}/hold.sock\nbackend: {self.backend}\n"
        )

    def _wire(self, place: Place, address: str, node_address: str) -> None:
        """Create a link between a place and the node: eth0 in the place, and the place's name on the node."""
        there, node = self._namespace(place), self._namespace("node")
        self._ip("link", "add", "eth0", "netns", there, "type", "veth", "peer", "name", place, "netns", node)
        for namespace, device, own in ((there, "eth0", address), (node, place, node_address)):
            self._ip("-n", namespace, "address", "add", own, "dev", device)
            self._ip("-n", namespace, "link", "set", device, "up")

    def remove(self) -> None:
        """Kill all processes and delete the namespaces. Errors do not stop the removal."""
        for process in self._running:
            process.kill()
            process.communicate()
        for place in ("client", *(pod.name for pod in PODS), "node"):
            name = self._namespace(place)
            for pid in self._ip("netns", "pids", name, check=False).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            self._ip("netns", "delete", name, check=False)

    def _start(self, place: Place, *argv: str) -> "subprocess.Popen[str]":
        """Start a background process. For one of `programs`, wait until it is ready."""
        with self._errors.open("a") as errors:
            process = subprocess.Popen(
                self._inside(place, argv),
                cwd=self.directory,
                env=_clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._running.append(process)
        if "serve" in argv and process.stdout and not process.stdout.readline():
            raise DemoError(f"demo: no server in {place}: {self._errors.read_text().strip()}")
        return process

    def _daemon_answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.directory / "hold.sock"))
            except OSError:
                return False
        return True

    def _inside(self, place: Place, argv: tuple[str, ...]) -> tuple[str, ...]:
        return (_program("ip"), "netns", "exec", self._namespace(place), *argv)

    def _namespace(self, place: Place) -> str:
        return f"{self.prefix}-{place}"

    @staticmethod
    def _ip(*argv: str, check: bool = True) -> str:
        done = subprocess.run(
            (_program("ip"), *argv),
            cwd=SAFE_DIRECTORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        if check and done.returncode:
            raise UnavailableError(f"no network namespaces here: ip {' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout


@contextlib.contextmanager
def built(backend: str) -> Iterator[Testbed]:
    """Yield a testbed with running servers. It is removed however the block ends."""
    with _ends_by_exception(), tempfile.TemporaryDirectory(prefix="nplconf-demo-") as directory:
        testbed = Testbed(f"nplconf-demo-{os.getpid()}", Path(directory), backend)
        try:
            testbed.build()
            yield testbed
        finally:
            _ignore_signals()
            testbed.remove()


def _program(name: str) -> str:
    return shutil.which(name, path=SEARCH) or name


def _program_of(argv: tuple[str, ...]) -> tuple[str, ...]:
    return (*PYTHON, "-m", "nplconf.cli.commands.demo.programs", *argv)


def _clean_environment() -> dict[str, str]:
    """Return the environment without the operator's configuration. Every process imports this very package."""
    theirs = ("NPLCONF_", "KUBE", "NODE_NAME")
    own = {"PATH": SEARCH, "PYTHONPATH": str(Path(__file__).parents[4])}
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs)} | own


def _ignore_signals() -> None:
    """Ignore further signals, so that a second Ctrl-C does not interrupt the removal."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def _ends_by_exception() -> Iterator[None]:
    """Turn the signals that end a program into an exception, so that `finally` blocks run."""

    def end(number: int, _frame: object) -> None:
        _ignore_signals()
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
