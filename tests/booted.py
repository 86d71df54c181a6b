"""A booted machine as a node: nplconf installed as an operator installs it, a Pod and a client.

    client 10.10.10.77 --- 10.10.10.10 the machine ---- Pod web 10.244.3.17, with its own link

Pod and client are network namespaces of the host. Their servers and requests are in the test's process.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import worlds
from echo import Answer, Servers, ask
from machine import NPLCONF, Machine, Run
from netns import CLIENT, GATEWAY, Spaces, batch, inside, spaces

from nplconf.publish import annotation

CLUSTER = "/var/lib/cluster/cluster.json"
HOLD, JOB, TIMER = "nplconf-hold.service", "nplconf.service", "nplconf.timer"
WATCH = "nplconf-watch.service"
NODE_IP, POD_IP = "10.10.10.10", "10.244.3.17"
PORTS = (8080, 9090)
CONFIG = f"node: {worlds.NODE}\nclusterState: [{CLUSTER}]\nwriteBack: {CLUSTER}\n"


BOOT_ID = "/proc/sys/kernel/random/boot_id"
SAME_BOOT = f"[Service]\nBindReadOnlyPaths=/var/boot_id:{BOOT_ID}\n"
"""The /proc that systemd mounts for a unit has the host's boot_id, which is not that of the machine."""


@dataclass
class Booted:
    """The machine, see above. config: the text of its /etc/nplconf/config.yaml."""

    machine: Machine
    places: Spaces
    servers: Servers
    config: str
    cables: int = field(default=0)

    # --- the world around it

    def wire(self) -> None:
        """Lay the cables; after each boot anew, as its network is a new one."""
        self.machine.write("/var/boot_id", self.machine.run("cat", BOOT_ID).stdout)
        pid, number = self.machine.pid, self.cables
        self.cables += 1
        for place in ("client", "web"):
            space = f"{self.places.prefix}-{place}"
            batch("", f"link add eth{number} netns {space} type veth peer name {place} netns {pid}")
        gateway = GATEWAY["IPv4"]
        self.machine.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        lines = [f"address add {NODE_IP}/24 dev client", "link set client up", "link set web up"]
        lines += [f"address add {gateway}/32 dev web", f"route add {POD_IP}/32 dev web"]
        self.machine.run("ip", "-batch", "-", text_in="\n".join(lines) + "\n")
        own, name = f"-n {self.places.prefix}", f"eth{number}"
        batch(f"{own}-client", f"address add {CLIENT['IPv4']}/24 dev {name}", f"link set {name} up")
        ways = [f"route add {gateway}/32 dev {name}", f"route add default via {gateway} dev {name}"]
        batch(f"{own}-web", f"address add {POD_IP}/32 dev {name}", f"link set {name} up", *ways)

    def ask(self, number: int, **how: Any) -> Answer | str:
        """What a client is answered at a number of the node."""
        with inside(f"{self.places.prefix}-client"):
            return ask(NODE_IP, number, **how)

    def write(self, *objects: Mapping[str, Any]) -> None:
        """The cluster: this node and these objects."""
        self.machine.write(CLUSTER, json.dumps(worlds.raw_list(worlds.raw_node(), *objects)))

    def numbers(self) -> dict[int, int]:
        """Return the Pod's annotation as podPort -> nodePort."""
        try:
            published = worlds.annotations(self.machine.path(CLUSTER))
        except (ValueError, OSError):
            return {}
        return {e.pod_port: e.node_port for e in annotation.parse(published.get("web"))}

    # --- nplconf

    def nplconf(self, *arguments: str, check: bool = True, timeout: float = 90) -> Run:
        """A command of it on the machine."""
        return self.machine.run(*NPLCONF, *arguments, check=check, timeout=timeout)

    def install(self) -> dict[int, int]:
        """As the README says; and the first run, not waiting for its time. The numbers."""
        self.machine.write("/etc/nplconf/config.yaml", self.config)
        self.machine.write(f"/etc/systemd/system/{JOB}.d/99-test.conf", SAME_BOOT)
        self.nplconf("install-units", "--now")
        self.run_job()
        return self.numbers()

    def converge(self) -> dict[int, int]:
        """Wait for the timer's run; the numbers then."""
        self.machine.wait_until(lambda: len(self.numbers()) == len(PORTS), "all mappings published")
        self.machine.wait_until(lambda: self.machine.state(JOB)["ActiveState"] == "inactive", "the end of the run")
        return self.numbers()

    def run_job(self, *, check: bool = True) -> str:
        """A run from its start to its end, whatever the timer does meanwhile; systemd's word for it."""
        self._idle()
        self.machine.run("systemctl", "start", JOB, check=check)
        return self._idle()["Result"]

    def _idle(self) -> dict[str, str]:
        """The job's properties once it does not run."""
        while (state := self.machine.state(JOB))["ActiveState"] == "activating":
            time.sleep(0.05)
        return state

    def rules(self) -> list[str]:
        """The DNAT rules of the machine, and the elements of the table in nftables."""
        saved = self.machine.run("iptables-nft-save", "-t", "nat", check=False).stdout.splitlines()
        listed = self.machine.run("nft", "list", "map", "inet", "nplconf", "tcp-ipv4", check=False).stdout
        elements = re.findall(r'\d+ comment "nplconf:[^"]*" : \S+ \. \d+', listed)
        return [*(line for line in saved if "-j DNAT" in line), *elements]

    def doctor(self) -> dict[str, dict[str, Any]]:
        """Its checks that are not ok, without those that could not read their facts."""
        done = self.nplconf("doctor", "-o", "json", check=False)
        return {
            c["check"]: c
            for c in json.loads(done.stdout)["checks"]
            if c["status"] != "ok" and not c["message"].startswith("not checked")
        }

    def journal_of(self, unit: str) -> list[str]:
        """The unit's messages of this boot."""
        return [str(record["MESSAGE"]) for record in self.machine.journal("-u", unit)]


def objects() -> list[dict[str, Any]]:
    """The Pod, and a Service for each of its ports."""
    pod = worlds.raw_pod("web", [POD_IP], labels={"app": "web"}, ports=[{"containerPort": port} for port in PORTS])
    return [pod, *(worlds.raw_service(f"s{port}", [(80, port, "TCP")]) for port in PORTS)]


@contextlib.contextmanager
def booted(extra: str = "") -> Iterator[Booted]:
    """A machine that is wired, with the cluster in a file, and nothing installed. extra: of its configuration."""
    with Machine() as machine, spaces() as places, Servers() as servers:
        for place in ("client", "web"):
            places.add(place)
        with inside(f"{places.prefix}-web"):
            servers.open("web", PORTS, ())
        made = Booted(machine, places, servers, CONFIG + extra)
        made.wire()
        made.write(*objects())
        yield made
