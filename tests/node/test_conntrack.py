"""UDP flows through real DNAT rules: which are flushed, and which stay."""

import json
import re
import subprocess
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pytest
from holdspace import namespace, python, running

from nplconf.model import FAMILIES, Change, PodRef, PortMapping, PortRange
from nplconf.node.conntrack import Rerouted, rerouted, whole_range

# --- which numbers are concerned -------------------------------------------------------------------------------------

UDP = PortMapping(61044, "udp", "IPv4", "10.99.0.1", PodRef("shop", "web-0", "u1"), "10.244.3.10", 8081)
TO = ("10.244.3.10", 8081)


def test_an_added_mapping_leaves_only_flows_to_its_pod() -> None:
    assert rerouted([Change("add", "new", UDP)]) == (Rerouted(61044, "IPv4", TO),)


def test_a_deleted_mapping_leaves_no_flow() -> None:
    assert rerouted([Change("delete", "gone", UDP, UDP)]) == (Rerouted(61044, "IPv4"),)


def test_a_retargeted_mapping_leaves_only_flows_to_the_new_pod() -> None:
    change = Change("change", "moved", UDP._replace(pod_ip="10.244.3.11"), UDP)
    assert rerouted([change]) == (Rerouted(61044, "IPv4", ("10.244.3.11", 8081)),)


def test_a_mapping_on_another_number_leaves_the_old_number() -> None:
    change = Change("change", "moved", UDP._replace(node_port=61045), UDP)
    assert rerouted([change]) == (Rerouted(61044, "IPv4"), Rerouted(61045, "IPv4", TO))


@pytest.mark.parametrize("turn", [1, -1])
def test_a_number_that_changes_hands_leads_to_its_new_owner(turn: int) -> None:
    other = UDP._replace(pod=PodRef("shop", "api-0", "u2"), pod_ip="10.244.3.12")
    changes = [Change("delete", "gone", UDP, UDP), Change("add", "new", other)][::turn]
    assert rerouted(changes) == (Rerouted(61044, "IPv4", ("10.244.3.12", 8081)),)


def test_other_source_ranges_leave_no_flow() -> None:
    change = Change("change", "policy", UDP._replace(source_ranges=("10.0.0.0/8",)), UDP)
    assert rerouted([change]) == (Rerouted(61044, "IPv4"),)


def test_tcp_and_host_ports_have_no_flows_to_flush() -> None:
    changes = [
        Change("add", "new", UDP._replace(protocol="tcp")),
        Change("delete", "gone", UDP._replace(via="hostPort")),
    ]
    assert rerouted(changes) == ()


def test_a_mapping_that_became_a_host_port_leaves_no_flow_of_its_rule() -> None:
    change = Change("change", "host port", UDP._replace(via="hostPort", node_port=4001), UDP)
    assert rerouted([change]) == (Rerouted(61044, "IPv4"),)


def test_the_whole_range_leads_where_the_mappings_say() -> None:
    mappings = [UDP, UDP._replace(protocol="tcp", node_port=61045, pod_ip="10.244.3.99")]
    flows = whole_range(PortRange(61044, 61045), mappings)
    assert set(flows) == {
        Rerouted(61044, "IPv4", TO),
        Rerouted(61044, "IPv6"),
        Rerouted(61045, "IPv4"),
        Rerouted(61045, "IPv6"),
        *(Rerouted(port, family, None, "sctp") for port in (61044, 61045) for family in FAMILIES),
    }


def test_the_flows_of_each_protocol_at_one_number_are_flushed() -> None:
    row, tcp = UDP._replace(protocol="sctp", pod_ip="10.244.3.12"), UDP._replace(protocol="tcp")
    changes = [Change("delete", "gone", UDP, UDP), Change("add", "new", row), Change("delete", "gone", tcp, tcp)]
    found = {(flow.protocol, flow.to) for flow in rerouted(changes)}
    assert found == {("udp", None), ("sctp", ("10.244.3.12", row.pod_port))}


# --- real flows ------------------------------------------------------------------------------------------------------

ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", int(sys.argv[2]))); print("ready", flush=True)
while True:
    _, peer = s.recvfrom(100); s.sendto(sys.argv[1].encode(), peer)
"""
SAY = """
import socket, sys
source, address, number = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", source)); s.settimeout(0.5)
try:
    s.connect((address, number)); s.send(b"x"); print(s.recv(100).decode())
except ConnectionRefusedError: print("refused")
except TimeoutError: print("silence")
"""
FORGET = """
import json, os, sys
from nplconf.node.conntrack import Rerouted, flush_flows
flows, addresses, deadline, user = json.loads(sys.argv[1])
if user: os.setgroups([]); os.setgid(user); os.setuid(user)
done = flush_flows([Rerouted(n, family, tuple(to) if to else None) for n, family, to in flows], addresses, deadline)
print(json.dumps([done.deleted, [failure.message for failure in done.failures]]))
"""


@dataclass(frozen=True)
class Net:
    """A node between a client and two Pods, with rules typed by hand."""

    node: str
    client: str
    iptables: str
    family: str
    address: str = "10.99.0.1"
    virtual: str = "10.99.0.77"
    pods: tuple[str, str] = ("10.244.1.2", "10.244.2.2")

    def rule(self, action: str, number: int, pod: int, *, at: str = "") -> None:
        """Add ("-A") or remove ("-D") the rule from the number to a Pod."""
        to = f"[{self.pods[pod]}]:8081" if self.family == "IPv6" else f"{self.pods[pod]}:8081"
        rule = f"-p udp -d {at or self.address} --dport {number} -j DNAT --to-destination {to}"
        line = f"ip netns exec {self.node} {self.iptables} -w -t nat {action} PREROUTING {rule}"
        subprocess.run(line.split(), check=True)

    def say(self, number: int, *, at: str = "", source: int = 40000) -> str:
        """Who answers the client there."""
        return python(self.client, SAY, source, at or self.address, number)

    def flush_flows(
        self, *flows: tuple[int, int | None], deadline: float = 10, user: int = 0, at: Collection[str] = ()
    ) -> tuple[int, list[str]]:
        """What `flush_flows` returns. flows: (number, the Pod it leads to now). at: the node's addresses."""
        asked = [(number, self.family, None if pod is None else (self.pods[pod], 8081)) for number, pod in flows]
        addresses = {self.family: list(at or [self.address])}
        deleted, failures = json.loads(python(self.node, FORGET, json.dumps([asked, addresses, deadline, user])))
        return deleted, failures

    def flow_ids(self) -> dict[str, str]:
        """The table's entries by their original tuple (and protocol, zone), with their ids."""
        family = self.family.lower()
        listed = subprocess.run(
            ["ip", "netns", "exec", self.node, "conntrack", "-L", "-f", family, "-o", "id"],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = listed.stdout.splitlines()
        original = re.compile(r"(\w+) .*?(src=\S+ dst=\S+ sport=\d+ dport=\d+).* id=(\d+)")
        found = [(original.search(line), " zone" if "zone=" in line else "") for line in lines if "port=" in line]
        return {f"{match[1]} {match[2]}{zone}": match[3] for match, zone in found if match}


@pytest.fixture(params=["nft-IPv4", "legacy-IPv4", "nft-IPv6", "legacy-IPv6"])
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    backend, family = request.param.split("-")
    with namespace() as node, namespace() as client, namespace() as a, namespace() as b:
        six = family == "IPv6"
        nets = [f"fd99:0:0:{n}::" for n in range(3)] if six else ["10.99.0.", "10.244.1.", "10.244.2."]
        bits = 64 if six else 24
        for n, space in enumerate((client, a, b)):
            for where in (node, space):
                python(where, "open('/proc/sys/net/ipv6/conf/default/accept_dad', 'w').write('0')")
            link = f"ip link add v{n} netns {node} type veth peer name e0 netns {space}"
            subprocess.run(link.split(), check=True)
            for where, device, host in ((node, f"v{n}", 1), (space, "e0", 2)):
                nodad = " nodad" if six else ""
                add = f"ip -n {where} addr add {nets[n]}{host}/{bits} dev {device}{nodad}"
                subprocess.run(add.split(), check=True)
                subprocess.run(f"ip -n {where} link set {device} up".split(), check=True)
            subprocess.run(f"ip -n {space} route add default via {nets[n]}1".split(), check=True)
        forward = "net/ipv6/conf/all/forwarding" if six else "net/ipv4/ip_forward"
        python(node, f"open('/proc/sys/{forward}', 'w').write('1')")
        virtual = f"{nets[0]}77"
        subprocess.run(f"ip -n {node} addr add {virtual}/{bits} dev v0".split(), check=True)
        made = Net(
            node,
            client,
            f"{'ip6tables' if six else 'iptables'}-{backend}",
            family,
            f"{nets[0]}1",
            virtual,
            (f"{nets[1]}2", f"{nets[2]}2"),
        )
        with running(a, ECHO, "A", 8081), running(b, ECHO, "B", 8081), running(b, ECHO, "transit", 61044):
            made.rule("-A", 61099, 0)  # conntrack works where a rule needs it
            until = time.monotonic() + 10
            while made.say(61099) != "A":  # IPv6 takes its time with a new link
                assert time.monotonic() < until
            yield made


@pytest.mark.kernel
def test_a_flow_follows_a_retarget(net: Net) -> None:
    net.rule("-A", 61044, 0)
    assert net.say(61044) == "A"
    net.rule("-D", 61044, 0)
    net.rule("-A", 61044, 1)
    assert net.say(61044) == "A", "the kernel remembers: what forget is for"
    assert net.flush_flows((61044, 1)) == (1, [])
    assert net.say(61044) == "B"


@pytest.mark.kernel
def test_a_flow_ends_with_its_mapping(net: Net) -> None:
    net.rule("-A", 61044, 0)
    assert net.say(61044) == "A"
    net.rule("-D", 61044, 0)
    assert net.say(61044) == "A", "the kernel remembers: what forget is for"
    assert net.flush_flows((61044, None)) == (1, [])
    assert net.say(61044) == "refused"


@pytest.mark.kernel
def test_a_flow_that_began_before_its_rule_reaches_the_pod(net: Net) -> None:
    assert net.say(61044) == "refused"
    net.rule("-A", 61044, 0)
    assert net.say(61044) == "refused", "the kernel remembers: what forget is for"
    assert net.flush_flows((61044, 0)) == (1, [])
    assert net.say(61044) == "A"


@pytest.mark.kernel
def test_flows_of_other_ports_keep_their_entries(net: Net) -> None:
    for number in (61044, 61045):
        net.rule("-A", number, 0)
    net.rule("-A", 61044, 0, at=net.virtual)
    assert net.say(61044) == "A"
    assert net.say(61045) == "A", "a mapping that does not change"
    assert net.say(61044, at=net.virtual) == "A", "another program's address on the node"
    assert net.say(61044, at=net.pods[1]) == "transit"
    assert net.say(8081, at=net.pods[0], source=61044) == "A", "the number as a source"
    before = net.flow_ids()
    net.rule("-D", 61044, 0)
    assert net.flush_flows((61044, None)) == (1, [])
    gone = {flow for flow, number in before.items() if net.flow_ids().get(flow) != number}
    assert len(gone) == 1
    (flow,) = gone
    assert flow.startswith("udp ")
    assert flow.endswith("sport=40000 dport=61044")
    assert len(before) == 6


@pytest.mark.kernel
def test_a_flow_that_goes_where_it_should_keeps_its_entry(net: Net) -> None:
    net.rule("-A", 61044, 0)
    assert net.say(61044) == "A"
    before = net.flow_ids()
    assert net.flush_flows((61044, 0)) == (0, [])
    assert net.flow_ids() == before


@pytest.mark.kernel
def test_tcp_and_other_zones_are_left_alone(net: Net) -> None:
    ends = f"--src {net.pods[0]} --dst {net.address} --timeout 300"
    ports = "--sport 5000 --dport 61044"
    for entry in (f"-p udp {ports}", f"-p udp {ports} --zone 7", f"-p tcp {ports} --state ESTABLISHED"):
        line = f"ip netns exec {net.node} conntrack -I {ends} {entry}"
        subprocess.run(line.split(), check=True, capture_output=True)
    assert len(net.flow_ids()) == 4
    assert net.flush_flows((61044, None)) == (1, [])
    left = [flow for flow in net.flow_ids() if "61044" in flow]
    assert sorted((flow.split()[0], flow.split()[-1]) for flow in left) == [("tcp", "dport=61044"), ("udp", "zone")]


@pytest.mark.kernel
def test_many_numbers_are_found_in_one_listing(net: Net) -> None:
    numbers = range(61000, 61010)
    for number in numbers:
        net.rule("-A", number, 0)
        assert net.say(number) == "A"
    assert net.say(61020) == "refused"
    before = set(net.flow_ids())
    changed = [(number, 0 if number == 61003 else 1) for number in numbers]
    assert net.flush_flows(*changed) == (9, [])
    assert {int(flow.rpartition("=")[2]) for flow in before & set(net.flow_ids())} == {61003, 61020, 61099}


@pytest.mark.kernel
def test_nothing_to_flush_is_success(net: Net) -> None:
    assert net.flush_flows((61044, None)) == (0, [])
    assert net.flush_flows() == (0, [])


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"user": 65534}, "CAP_NET_ADMIN is missing"),
        ({"deadline": 0}, "deadline"),
        ({"at": ["10.9.x"]}, "illegal IP"),
    ],
)
def test_an_error_of_the_kernel_is_a_failure_with_its_reason(net: Net, asked: dict[str, object], why: str) -> None:
    net.rule("-A", 61044, 0)
    assert net.say(61044) == "A"
    deleted, (message,) = net.flush_flows((61044, None), **asked)  # type: ignore[arg-type]
    assert deleted == 0
    assert message.startswith("UDP and SCTP flows may go on to where they went before")
    assert why in message
    assert net.say(61044) == "A"
