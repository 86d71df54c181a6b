"""A node with Pods and a client, in their own network namespaces, for tests on a real kernel.

    client 10.10.10.77 --- 10.10.10.10 node ---- Pods with a link each (a routed CNI), 10.244.3.0/24
           fd00:10::77     fd00:10::10      `--- Pods on the bridge cni0, 10.244.4.0/24

The test's process enters a namespace to create a socket there and returns, so that all servers and requests are in this
process and need no other. nplconf runs in a child process, as its user runs it.
"""

import contextlib
import ctypes
import fcntl
import ipaddress
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

import preloaded
import worlds
from echo import Answer, Servers, ask
from shims import Shims

ROOT = Path(__file__).parent.parent
CLIENT = {"IPv4": "10.10.10.77", "IPv6": "fd00:10::77"}
GATEWAY = {"IPv4": "169.254.1.1", "IPv6": "fd00:169::1"}
BRIDGE = "cni0"
ON_BRIDGE = ("10.244.4.", "fd00:244:4::")
IPTABLES = ("nft", "legacy")
"""The backends that write iptables rules, as `--backend` also takes them."""
BACKENDS = (*IPTABLES, "nftables")
BASES = ("prerouting", "output", "postrouting")
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
RTF_LOCAL = 0x80000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


# --- namespaces ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def inside(space: str) -> Iterator[None]:
    """Be in a namespace with this thread, and with the children that it starts."""
    with Path("/proc/thread-self/ns/net").open("rb") as home, Path("/run/netns", space).open("rb") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(handle: int) -> None:
    if _libc.setns(handle, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def spaces() -> Iterator["Spaces"]:
    """Namespaces whose names are nobody else's; they go with all that runs in them."""
    made = Spaces(f"npl{os.getpid()}-{next(_numbers)}")
    try:
        yield made
    finally:
        for pid in _living_in(made.names):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        batch("", *(f"netns delete {name}" for name in made.names))


def _living_in(names: Sequence[str]) -> Iterator[int]:
    """The processes in these namespaces, as `ip netns pids` finds them."""
    theirs = {Path("/run/netns", name).stat().st_ino for name in names}
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):  # it has ended
            if entry.name.isdecimal() and Path(entry.path, "ns/net").stat().st_ino in theirs:
                yield int(entry.name)


@dataclass(slots=True)
class Spaces:
    """A family of namespaces. prefix: of their names."""

    prefix: str
    names: list[str] = field(default_factory=list)

    def add(self, place: str) -> str:
        """Make the namespace of a place; its name."""
        name = f"{self.prefix}-{place}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.names.append(name)
        with inside(name):
            _link_up("lo")
            for which in ("all", "default"):  # an address is used as soon as it is there
                Path(f"/proc/sys/net/ipv6/conf/{which}/accept_dad").write_text("0")
        return name


def _link_up(name: str) -> None:
    """`ip link set NAME up` in the namespace of this thread."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", name.encode(), 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags | IFF_UP))


def batch(options: str, *commands: str) -> None:
    """`ip` commands, in one child."""
    text = "\n".join(commands) + "\n"
    done = subprocess.run(
        ["ip", *options.split(), "-batch", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{commands}: {done.stderr}"


def add_address(space: str, address: str, bits: int | None = None, device: str = "lo") -> None:
    """Add an address to a device that is up, and wait until packets to it are received.

    For IPv6 a thread of the kernel adds that route. It waits for the lock of all links, up to a second while other
    namespaces are made or deleted. bits: of the network; None: the address alone.
    """
    alone = 128 if ":" in address else 32
    batch(f"-n {space}", f"address replace {address}/{bits or alone} dev {device}")
    if ":" in address:
        target, until = ipaddress.ip_address(address).packed.hex(), time.monotonic() + 10
        with inside(space):
            while not _is_local(target):
                assert time.monotonic() < until, f"no route to {address}"
                time.sleep(0.002)


def _is_local(target: str) -> bool:
    """Whether the namespace of this thread receives packets to an IPv6 address, given as 32 digits."""
    routes = map(str.split, Path("/proc/thread-self/net/ipv6_route").read_text().splitlines())
    return any(fields[0] == target and int(fields[8], 16) & RTF_LOCAL for fields in routes)


def sysctl(space: str, name: str, value: int) -> None:
    """Set a sysctl of a namespace."""
    with inside(space):
        Path("/proc/sys", name.replace(".", "/")).write_text(str(value))


# --- the world -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class World:
    """Namespaces wired as above, the servers in them, and a directory with what nplconf is given."""

    places: Spaces
    servers: Servers
    directory: Path
    backend: str
    hold: bool = False
    shims: Shims | None = None
    """Programs that stand in for those in /usr/sbin."""
    daemon: "subprocess.Popen[Any] | None" = None
    hidden: Path | None = None
    """A file that programs on the node find empty."""
    run_directory: Path | None = None
    """What /run is for programs on the node, in place of this machine's."""
    driver: "Callable[..., Applied] | None" = None
    """Carries out each `apply`. None: `nplconf apply` does."""

    @property
    def cluster(self) -> Path:
        """The cluster, as a file."""
        return self.directory / "cluster.json"

    @property
    def node(self) -> str:
        """The name of the node's namespace."""
        return self.space("node")

    def space(self, place: str) -> str:
        """The name of the namespace of a place: node, client, or a Pod's name."""
        return f"{self.places.prefix}-{place}"

    @property
    def iptables(self) -> str:
        """The kind of iptables that has the rules of others."""
        return self.backend if self.backend in IPTABLES else "nft"

    # --- building

    def routed(self, name: str, *ips: str, tcp: Sequence[int] = (8080,), udp: Sequence[int] = ()) -> dict[str, Any]:
        """A Pod with a link of its own to the node; its object."""
        space = self._pod(name, tcp, udp)
        own, node = ["link set eth0 up"], [f"link set {name} up"]
        for ip in ips:
            family, bits = ("IPv6", 128) if ":" in ip else ("IPv4", 32)
            gateway = f"{GATEWAY[family]}/{bits}"
            own += [f"address add {ip}/{bits} dev eth0", f"route add {gateway} dev eth0"]
            own += [f"route add default via {GATEWAY[family]} dev eth0"]
            node += [f"address add {gateway} dev {name}", f"route add {ip}/{bits} dev {name}"]
        batch(f"-n {self.node}", *node)
        batch(f"-n {space}", *own)
        return self._object(name, ips, tcp, udp)

    def bridged(self, name: str, *ips: str, tcp: Sequence[int] = (8080,), udp: Sequence[int] = ()) -> dict[str, Any]:
        """A Pod on the node's bridge; its object."""
        space = self._pod(name, tcp, udp)
        with inside(self.node):
            new = not Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}").exists()
        if new:
            addresses = [f"address add {ON_BRIDGE[0]}1/24 dev {BRIDGE}", f"address add {ON_BRIDGE[1]}1/64 dev {BRIDGE}"]
            batch(f"-n {self.node}", f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up", *addresses)
        # hairpin: what a CNI that lets Pods reach themselves sets
        port = [
            f"link set {name} master {BRIDGE}",
            f"link set {name} type bridge_slave hairpin on",
            f"link set {name} up",
        ]
        batch(f"-n {self.node}", *port)
        own = [f"address add {ip}/{64 if ':' in ip else 24} dev eth0" for ip in ips]
        own += [f"route add default via {ON_BRIDGE[':' in ip]}1" for ip in ips]
        batch(f"-n {space}", "link set eth0 up", *own)
        return self._object(name, ips, tcp, udp)

    def _pod(self, name: str, tcp: Sequence[int], udp: Sequence[int]) -> str:
        space = self.places.add(name)
        batch("", f"link add eth0 netns {space} type veth peer name {name} netns {self.node}")
        self.serve(name, tcp, udp)
        return space

    def serve(self, place: str, tcp: Sequence[int] = (), udp: Sequence[int] = ()) -> None:
        """Start servers in a place, on every address of both families."""
        with inside(self.space(place)):
            self.servers.open(place, tcp, udp)

    @staticmethod
    def _object(name: str, ips: Sequence[str], tcp: Sequence[int], udp: Sequence[int]) -> dict[str, Any]:
        declared: list[dict[str, Any]] = [{"containerPort": port} for port in tcp]
        declared += [{"containerPort": port, "protocol": "UDP"} for port in udp]
        return worlds.raw_pod(name, ips, labels={"app": name, "all": "yes"}, ports=declared)

    def write(self, *objects: Mapping[str, Any], addresses: Sequence[tuple[str, str]] = worlds.ADDRESSES) -> None:
        """The cluster: this node, with these addresses, and these objects."""
        worlds.write_objects(self.cluster, worlds.raw_list(worlds.raw_node(addresses=addresses), *objects))

    # --- nplconf

    def start_hold(self, *options: str) -> None:
        """`nplconf hold` on the node; it answers when this returns."""
        self.daemon = self.start("hold", *self._options(), *options, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not (self.directory / "hold.sock").exists():
            assert self.daemon.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        self.hold = True

    def start(self, *words: str, **pipes: Any) -> "subprocess.Popen[Any]":
        """Start a command of nplconf, or a program of the tests, on the node. pipes: of Popen."""
        return preloaded.Popen(words, self.node, self._mounts(), env=self._environment(), **pipes)

    def process(self, *words: str, **pipes: Any) -> "subprocess.Popen[Any]":
        """Start the same by a Python of its own."""
        program = words if words[0].endswith(".py") else ("-m", "nplconf", *words)
        return subprocess.Popen(self._inside(sys.executable, *program), env=self._environment(), **pipes)

    def nplconf(self, command: str, *arguments: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a command on the node, as its operator does."""
        argv = (command, *arguments, *self._options())
        return preloaded.run(argv, timeout=timeout, space=self.node, mounts=self._mounts(), env=self._environment())

    def apply(self, *arguments: str) -> "Applied":
        """Carry out a run: by `nplconf apply -o json`, or by the driver."""
        return self.driver(*arguments) if self.driver else self.json("apply", *arguments)

    def versions(self) -> dict[str, dict[str, str]]:
        """Return what an API server has for a run: resourceVersions by resource and UID."""
        return {}

    def json(self, command: str, *arguments: str) -> "Applied":
        """Run a command with `-o json` and return its result."""
        start = time.monotonic()
        done = self.nplconf(command, "-o", "json", *arguments)
        seconds = time.monotonic() - start
        assert "Traceback" not in done.stderr, done.stderr
        return Applied(done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr, seconds)

    def _options(self) -> tuple[str, ...]:
        where = self.directory
        cluster = ("--cluster-state", str(self.cluster), "--write-back", str(self.cluster))
        own = (
            "--state-dir",
            str(where / "state"),
            "--hold-socket",
            str(where / "hold.sock"),
            "--backend",
            self.backend,
        )
        hold = () if self.hold else ("--no-hold",)
        return ("--node", worlds.NODE, *cluster, *own, *hold)

    # --- the node

    def run(
        self, *argv: str, text: str = "", timeout: float = 60, shimmed: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        """A program on the node, to its end; shimmed: with what stands in for others."""
        return subprocess.run(
            self._inside(*argv) if shimmed else ["ip", "netns", "exec", self.node, *argv],
            input=text,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def _inside(self, *argv: str) -> list[str]:
        """`ip netns exec` also shows the namespace's own /sys."""
        enter = ["ip", "netns", "exec", self.node]
        mounts = [
            f"mount -t {kind} -o {options} {source} {target}" if kind else f"mount --bind {source} {target}"
            for source, target, kind, options in self._mounts()
        ]
        if not mounts:
            return [*enter, *argv]
        return [*enter, "unshare", "--mount", "sh", "-c", " && ".join((*mounts, 'exec "$@"')), "sh", *argv]

    def _mounts(self) -> list[preloaded.Mount]:
        mounts: list[preloaded.Mount] = []
        if self.shims:
            mounts.append(("overlay", "/usr/sbin", "overlay", f"lowerdir={self.shims.directory}:/usr/sbin"))
        if self.hidden:
            mounts.append(("/dev/null", str(self.hidden), "", ""))
        if self.run_directory:
            mounts.append((str(self.run_directory), "/run", "", ""))
        return mounts

    def _environment(self) -> dict[str, str]:
        paths = (ROOT, self.shims.audit) if self.shims else (ROOT,)
        return dict(os.environ) | {"PYTHONPATH": ":".join(map(str, paths))}

    def restore(self, text: str, family: str = "IPv4", backend: str | None = None) -> None:
        """Feed `iptables-restore --noflush` on the node."""
        program = f"{_prefix(family)}-{backend or self.iptables}-restore"
        done = self.run(program, "--noflush", "-w", text=text)
        assert done.returncode == 0, done.stderr

    def rules(self, family: str = "IPv4", table: str = "nat", backend: str | None = None) -> list[str]:
        """The rules and chains of a table, without the comments of the dump and without counters."""
        program = f"{_prefix(family)}-{backend or self.iptables}-save"
        lines = self.run(program, "-t", table).stdout.splitlines()
        return [line.split(" [")[0] if line[:1] == ":" else line for line in lines if line[:1] in (":", "-")]

    def ours(self, family: str = "IPv4", backend: str | None = None) -> list[str]:
        """The lines of a listing that are of nplconf; of its table in nftables, those of both families."""
        if (backend or self.backend) == "nftables":
            return self.run("nft", "list", "table", "inet", "nplconf").stdout.splitlines()
        return [line for line in self.rules(family, backend=backend) if "NPLCONF" in line]

    def dispatched(self, family: str = "IPv4") -> set[str]:
        """The node ports that have a rule."""
        if self.backend == "nftables":
            maps = [self.run("nft", "list", "map", "inet", "nplconf", f"{p}-{family.lower()}") for p in ("tcp", "udp")]
            return set(re.findall(r"(\d+) comment \"nplconf:", "".join(done.stdout for done in maps)))
        found = (re.search(r"--dport (\d+) .*DNAT", line) for line in self.ours(family))
        return {match[1] for match in found if match}

    def nft(self, *commands: str) -> None:
        """Run commands of nft on the node."""
        done = self.run("nft", "-f", "-", text="\n".join((*commands, "")))
        assert done.returncode == 0, done.stderr

    def lose(self, number: int, protocol: str, family: str) -> None:
        """Delete the rule of one mapping."""
        if self.backend == "nftables":
            self.nft(f"delete element inet nplconf {protocol}-{family.lower()} {{ {number} }}")
            return
        way = f"-p {protocol} -m {protocol} --dport {number} "
        rule = next(line for line in self.ours(family) if way in line and "DNAT" in line)
        self.restore(f"*nat\n{rule.replace('-A', '-D', 1)}\nCOMMIT\n", family)

    def lose_entry(self) -> None:
        """Empty the base chains of both families."""
        if self.backend == "nftables":
            self.nft(*(f"flush chain inet nplconf {base}" for base in BASES))
            return
        for family in ("IPv4", "IPv6"):
            self.restore("\n".join(("*nat", *(f"-F {base.upper()}" for base in BASES), "COMMIT", "")), family)

    # --- traffic

    def ask(self, place: str, address: str, port: int, **how: Any) -> Answer | str:
        """What a client in a place is answered: an `Answer`, or "refused" or "silence"."""
        with inside(self.space(place)):
            return ask(address, port, **how)


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a command.

    Attributes:
        seconds: The wall-clock time of the whole process.
        causes: In watch mode, why the run began.
    """

    code: int
    data: dict[str, Any]
    stderr: str
    seconds: float
    causes: Sequence[str] = ()

    @property
    def counts(self) -> tuple[int, int, int]:
        """ok, changed, failed"""
        summary = self.data["summary"]
        return summary["ok"], summary["changed"], summary["failed"]


Kind = TypeVar("Kind", bound=World)


def _prefix(family: str) -> str:
    return "iptables" if family == "IPv4" else "ip6tables"


@overload
def world(directory: Path, backend: str) -> "contextlib.AbstractContextManager[World]": ...


@overload
def world(directory: Path, backend: str, kind: type[Kind]) -> "contextlib.AbstractContextManager[Kind]": ...


def world(directory: Path, backend: str, kind: type[Any] = World) -> "contextlib.AbstractContextManager[Any]":
    """A node and a client; Pods are added by the test. kind: a class of the test's own."""
    return _world(directory, backend, kind)


@contextlib.contextmanager
def _world(directory: Path, backend: str, kind: type[Kind]) -> Iterator[Kind]:
    with spaces() as places, Servers() as servers:
        made = kind(places, servers, directory, backend)
        _wire(made)
        try:
            yield made
        finally:
            if made.daemon:
                made.daemon.kill()
                made.daemon.wait()


def _wire(made: World) -> None:
    node, client = made.places.add("node"), made.places.add("client")
    for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        sysctl(node, name, 1)
    own = [f"address add {address}/32 dev lo" for address in ("10.0.0.1", "fd00::1")]
    own = [line.replace("/32", "/128") if ":" in line else line for line in own]
    link = ["address add 10.10.10.10/24 dev client", "address add fd00:10::10/64 dev client", "link set client up"]
    batch("", f"link add eth0 netns {client} type veth peer name client netns {node}")
    batch(f"-n {node}", *own, *link)
    ways = ["route add default via 10.10.10.10", "route add default via fd00:10::10"]
    addresses = [f"address add {CLIENT['IPv4']}/24 dev eth0", f"address add {CLIENT['IPv6']}/64 dev eth0"]
    batch(f"-n {client}", "link set eth0 up", *addresses, *ways)
