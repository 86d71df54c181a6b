"""Nodes to measure on: a network namespace, many Pods in a cluster file, and foreign rules."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import worlds
from bench import child
from netns import World, world

ADDRESS = "10.10.10.10"
FIRST = 20000
"""The first of the numbers: below those of outgoing connections."""
BACKENDS = ("nft", "nftables")
"""The two that every figure is measured with: iptables-legacy is measured by nobody who may choose."""


@dataclass(slots=True)
class Node(World):
    """A node that has as many numbers as Pods, so that the last mapping is at the last number."""

    numbers: int = 1001

    @property
    def last(self) -> int:
        """The last number."""
        return FIRST + self.numbers - 1

    def fill(self, count: int) -> None:
        """A cluster of `count` Pods here, one port each, and the numbers for them."""
        self.numbers = count
        self.dump([worlds.raw_pod(f"web-{i}", (pod_ip(i),)) for i in range(count)])

    def dump(self, pods: Sequence[dict[str, Any]]) -> None:
        """Write the cluster as a JSON file of one line, as programs do; kubectl's indentation is read as fast."""
        addresses = (("InternalIP", ADDRESS),)
        listing = worlds.raw_list(worlds.raw_node(addresses=addresses), worlds.raw_service(), *pods)
        self.cluster.write_text(json.dumps(listing))

    def pods(self) -> list[dict[str, Any]]:
        """The Pods of the cluster file as they are now."""
        return [o for o in json.loads(self.cluster.read_text())["items"] if o["kind"] == "Pod"]

    def move(self, index: int, ip: str) -> None:
        """Another address for a Pod."""
        pods = self.pods()
        pods[index]["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        self.dump(pods)

    def _environment(self) -> dict[str, str]:
        """As an installed nplconf runs: compiled once, with buffered output."""
        plain = {k: v for k, v in World._environment(self).items() if not k.startswith(("PYTHONDONT", "PYTHONUNBUF"))}
        return plain | {"PYTHONPYCACHEPREFIX": str(self.directory / "compiled")}

    start = World.process  # its memory is measured

    def cost(self, *argv: str, text: str = "", out: str = "/dev/null") -> child.Cost:
        """Run a program on the node and measure it."""
        return child.run(self._inside(*argv), environment=self._environment(), text=text, out=out)

    def apply(self, *arguments: str) -> child.Cost:  # type: ignore[override] # measured
        """A whole `nplconf apply`, measured."""
        whole = ("--port-range", f"{FIRST}-{self.last}", "--namespace-share", "100")
        options = (*self._options(), *whole, "-q", *arguments)
        return self.cost(sys.executable, "-m", "nplconf", "apply", *options)

    def forget(self) -> None:
        """A node as new: no rules, no state, no annotation."""
        self.run("nft", "flush", "ruleset")
        (self.directory / "state" / "state.json").unlink(missing_ok=True)

    def load(self, text: str) -> child.Cost:
        """`iptables-restore --noflush` of a text, measured."""
        return self.cost(f"iptables-{self.iptables}-restore", "--noflush", "-w", text=text)

    def load_rules(self, text: str) -> child.Cost:
        """What `rules_as_text` returned, loaded by the backend's own program, measured."""
        return self.cost("nft", "-f", "-", text=text) if self.backend == "nftables" else self.load(text)

    def rules_as_text(self) -> str:
        """The rules of nplconf as a text for the backend's own program."""
        ours = self.ours()
        if self.backend == "nftables":
            return "\n".join((*ours, ""))
        chains = [f"{line.split()[0]} - [0:0]" for line in ours if line.startswith(":")]
        return "\n".join(("*nat", *chains, *(line for line in ours if line.startswith("-A")), "COMMIT", ""))


@contextlib.contextmanager
def node(backend: str = "nft") -> Iterator[Node]:
    """A node and a client."""
    with (
        tempfile.TemporaryDirectory(prefix="nplconf-bench-") as directory,
        world(Path(directory), backend, Node) as made,
    ):
        yield made


def pod_ip(index: int) -> str:
    """An address for each of many Pods."""
    return f"10.{16 + index // 62500}.{index // 250 % 250}.{index % 250 + 1}"


def kube_proxy_like(lines: int) -> str:
    """As many lines as kube-proxy would make for a quarter as many Services: a chain, two comments and a DNAT each."""
    services = lines // 4
    text = ["*nat", ":KUBE-SERVICES - [0:0]", "-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES"]
    names = [f"KUBE-SVC-{i:016X}" for i in range(services)]
    text += [f":{name} - [0:0]" for name in names]
    for i, name in enumerate(names):
        ip, comment = f"10.96.{i // 250}.{i % 250 + 1}", f'-m comment --comment "shop/web-{i}:http"'
        text.append(f"-A KUBE-SERVICES -d {ip}/32 -p tcp {comment} -m tcp --dport 80 -j {name}")
        text.append(
            f"-A {name} ! -s 10.244.0.0/16 -d {ip}/32 -p tcp {comment} -m tcp --dport 80 -j MARK --set-mark 16384"
        )
        text.append(f"-A {name} -p tcp {comment} -m tcp -j DNAT --to-destination {pod_ip(i)}:8080")
    return "\n".join((*text, "COMMIT", ""))
