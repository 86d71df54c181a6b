"""After a run, UDP flows follow the rules, and no other flow is interrupted."""

import itertools
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import worlds
from echo import Answer, Flow
from netns import CLIENT, IPTABLES, World, add_address, inside, world
from shims import WRITES_RULES, Shims

from nplconf.model import FAMILIES, Family
from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
NODE_IP: dict[Family, str] = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
IPS: dict[str, dict[Family, str]] = {
    name: {"IPv4": f"10.244.3.{i}", "IPv6": f"fd00:244::{i}"} for i, name in enumerate(("old", "new", "other"), 1)
}


class Town(World):
    """Three Pods that serve DNS; the cluster has a StatefulSet's Pod, dns-0, at the address of one of the first two."""

    def build(self) -> None:
        for name, ips in IPS.items():
            self.routed(name, *ips.values(), tcp=(), udp=(53,))
        self.start_hold()

    def have(self, at: str | None, *, asked: bool = True) -> None:
        """dns-0 at the address of `old` or `new`, or nowhere; other-0 always."""
        ports = [{"containerPort": 53, "protocol": "UDP"}]
        pods = [worlds.raw_pod("other-0", list(IPS["other"].values()), labels={"app": "other"}, ports=ports)]
        if at:
            pods.append(worlds.raw_pod("dns-0", list(IPS[at].values()), labels={"app": "dns"}, ports=ports))
        services = [
            worlds.raw_service(app, [(53, 53, "UDP")], enabled=asked or app == "other") for app in ("dns", "other")
        ]
        for app, service in zip(("dns", "other"), services, strict=True):
            service["spec"] |= {"selector": {"app": app}, "ipFamilies": ["IPv4", "IPv6"]}
        self.write(*pods, *services)

    def number(self, pod: str) -> int:
        published = annotation.parse(worlds.annotations(self.cluster)[pod])
        return next(entry.node_port for entry in published)

    def flow(self, place: str, address: str, number: int) -> Flow:
        """A flow from a place, which ends with the town."""
        with inside(self.space(place)):
            return self.servers.keep(Flow(address, number))

    def entries(self, family: Family) -> dict[str, str]:
        """The UDP flows the kernel tracks: id -> text without what runs on."""
        kind = "ipv4" if family == "IPv4" else "ipv6"
        lines = self.run("conntrack", "-L", "-f", kind, "-p", "udp", "-o", "id").stdout.splitlines()
        found = {line.rpartition("id=")[2].split()[0]: line for line in lines if "id=" in line}
        return {number: " ".join(re.findall(r"(?:src|dst|sport|dport)=\S+", line)) for number, line in found.items()}


@pytest.fixture
def town(tmp_path: Path, backend: str) -> Iterator[Town]:
    with world(tmp_path, backend, Town) as made:
        made.build()
        yield made


def test_flows_follow_their_mapping_to_another_pod(town: Town) -> None:
    town.have("old")
    assert town.apply().code == 0
    number = town.number("dns-0")
    ways = itertools.product(("client", "node", "other"), FAMILIES)
    flows = {(place, family): town.flow(place, NODE_IP[family], number) for place, family in ways}
    assert {way: pod(flow.send()) for way, flow in flows.items()} == dict.fromkeys(flows, "old")

    town.have("new")
    assert town.apply().counts == (0, 4, 0), "the annotation of other-0, which the new file lacks, is repaired, too"

    assert town.number("dns-0") == number
    assert {way: pod(flow.send()) for way, flow in flows.items()} == dict.fromkeys(flows, "new")


def test_flows_to_a_mapping_that_is_removed_end(town: Town) -> None:
    town.have("old")
    assert town.apply().code == 0
    number = town.number("dns-0")
    flows = {family: town.flow("client", NODE_IP[family], number) for family in FAMILIES}
    assert {pod(flow.send()) for flow in flows.values()} == {"old"}

    town.have("old", asked=False)
    assert town.apply().counts == (0, 4, 0), "the annotation of other-0, which the new file lacks, is repaired, too"

    for family, flow in flows.items():
        assert flow.send(0.3) == "silence"
        assert town.ask("client", NODE_IP[family], number, protocol="udp") == "refused"


def test_flows_that_began_before_the_rule_was_there_are_not_black_holed(town: Town) -> None:
    town.have("old")
    assert town.apply().code == 0
    number = town.number("dns-0")
    assert town.nplconf("cleanup").returncode == 0
    flows = {family: town.flow("client", NODE_IP[family], number) for family in FAMILIES}
    assert {flow.send(0.3) for flow in flows.values()} == {"silence"}

    assert town.apply().code == 0

    assert town.number("dns-0") == number
    assert {pod(flow.send()) for flow in flows.values()} == {"old"}


@pytest.mark.parametrize("family", FAMILIES)
def test_flows_of_other_mappings_are_not_ended(town: Town, family: Family) -> None:
    """To the same number at another machine or at a virtual address, and to a mapping that did not change."""
    town.have("old")
    assert town.apply().code == 0
    number, unchanged = town.number("dns-0"), town.number("other-0")
    town.serve("other", udp=(number,))
    vip = "10.96.0.10" if family == "IPv4" else "fd00:96::10"
    add_address(town.node, vip)
    flows = {
        "transit": town.flow("client", IPS["other"][family], number),
        "unchanged": town.flow("client", NODE_IP[family], unchanged),
        "virtual": town.flow("client", vip, number),
        "changed": town.flow("client", NODE_IP[family], number),
    }
    for flow in flows.values():
        flow.send(0.2)
    before = town.entries(family)
    town.have("new")

    assert town.apply().counts == (0, 4, 0), "the annotation of other-0, which the new file lacks, is repaired, too"

    kept = town.entries(family)
    (gone,) = (text for entry, text in before.items() if entry not in kept)
    assert len(before) >= len(flows)
    assert f"dst={NODE_IP[family]} " in gone
    assert f"dport={number} " in gone
    assert flows["transit"].send() == Answer("other", number, CLIENT[family])
    assert flows["unchanged"].send() == Answer("other", 53, CLIENT[family])
    assert flows["changed"].send() == Answer("new", 53, CLIENT[family])


@pytest.mark.parametrize("backend", IPTABLES, indirect=True)
def test_the_next_run_flushes_the_flows_of_a_run_that_was_killed_after_its_commit(town: Town, tmp_path: Path) -> None:
    town.have("old")
    assert town.apply().code == 0
    flows = {family: town.flow("client", NODE_IP[family], town.number("dns-0")) for family in FAMILIES}
    assert {pod(flow.send()) for flow in flows.values()} == {"old"}
    town.have("new")
    town.shims = Shims.make(tmp_path / "shims")
    # IPv6 is written last
    killed = f'real "$@" <"$call"; if {WRITES_RULES}; then kill -9 $PPID; fi; exit'
    town.shims.have(f"ip6tables-{town.backend}-restore", killed)
    assert town.nplconf("apply").returncode == -signal.SIGKILL
    town.shims = None
    assert {pod(flow.send()) for flow in flows.values()} == {"old"}, "the kernel knows nothing of the change yet"

    assert town.apply().code == 0

    assert {pod(flow.send()) for flow in flows.values()} == {"new"}


def pod(outcome: Answer | str) -> str:
    """Who answered, or that nobody did."""
    return outcome.pod if isinstance(outcome, Answer) else outcome
