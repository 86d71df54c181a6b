"""Bridges whose packets bypass conntrack, from the routes of a real kernel."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import World, batch, spaces, sysctl

pytestmark = pytest.mark.kernel
READ = """
import json
from nplconf.node import routes
print(json.dumps([[route.network, route.bridged] for route in routes.read()]))
"""


def test_every_address_of_the_node_is_read(bare: World) -> None:
    batch(f"-n {bare.node}", "addr add 192.0.2.50/32 dev cni0", "addr add fd00:50::1/64 dev eth0 nodad")
    code = "import json; from nplconf.node import routes; print(json.dumps(sorted(routes.local_addresses())))"
    done = bare.run(sys.executable, "-c", code)
    assert {"192.0.2.50", "fd00:50::1"} <= set(json.loads(done.stdout))


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[World]:
    """A namespace with a bridge, whose packets pass iptables by, and a link."""
    with spaces() as places:
        made = World(places, None, tmp_path, "nft")  # type: ignore[arg-type]
        places.add("node")
        switch(made, "ip", 0)
        switch(made, "ip6", 0)
        batch(f"-n {made.node}", "link add cni0 type bridge", "link add pod type veth peer name eth0")
        batch(f"-n {made.node}", *(f"link set {device} up" for device in ("cni0", "pod", "eth0")))
        yield made


def switch(here: World, family: str, value: int) -> None:
    """Have the packets of bridges pass iptables, or not."""
    sysctl(here.node, f"net.bridge.bridge-nf-call-{family}tables", value)


def read(here: World) -> dict[str, bool]:
    """Network -> whether it is bridged past conntrack. (A child: /sys is of the namespace only there.)"""
    done = here.run(sys.executable, "-c", READ)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_network_on_a_bridge_is_bridged_and_one_behind_a_link_is_not(bare: World) -> None:
    batch(
        f"-n {bare.node}",
        "address add 10.244.4.1/24 dev cni0",
        "address add fd00:244:4::1/64 dev cni0",
        "route add 10.244.3.7/32 dev pod",
        "route add fd00:244::7/128 dev pod",
    )
    assert read(bare) == {
        "10.244.4.0/24": True,
        "10.244.3.7/32": False,
        "fd00:244:4::/64": True,
        "fd00:244::7/128": False,
    }


def test_each_family_has_a_switch_of_its_own(bare: World) -> None:
    batch(f"-n {bare.node}", "address add 10.244.4.1/24 dev cni0", "address add fd00:244:4::1/64 dev cni0")
    switch(bare, "ip", 1)
    assert read(bare) == {"10.244.4.0/24": False, "fd00:244:4::/64": True}
    switch(bare, "ip6", 1)
    assert read(bare) == {"10.244.4.0/24": False, "fd00:244:4::/64": False}


def test_a_bridge_has_a_switch_of_its_own(bare: World) -> None:
    batch(f"-n {bare.node}", "address add 10.244.4.1/24 dev cni0", "address add fd00:244:4::1/64 dev cni0")
    assert bare.run("sh", "-c", "echo 1 >/sys/class/net/cni0/bridge/nf_call_iptables").returncode == 0
    assert read(bare) == {"10.244.4.0/24": False, "fd00:244:4::/64": True}


def test_a_network_behind_a_router_on_the_bridge_is_not_on_the_bridge(bare: World) -> None:
    batch(
        f"-n {bare.node}",
        "address add 10.244.4.1/24 dev cni0",
        "route add 10.244.9.0/24 via 10.244.4.9",
        "route add default via 10.244.4.254",
        "route add blackhole 10.244.0.0/16",
    )
    assert read(bare) == {"10.244.4.0/24": True, "10.244.9.0/24": False, "10.244.0.0/16": False}


def test_a_node_without_routes_has_none(bare: World) -> None:
    assert read(bare) == {}
