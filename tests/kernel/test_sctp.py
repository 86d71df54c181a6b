"""SCTP by real packets on every backend, and what a kernel without SCTP sockets makes of the option."""

from collections.abc import Iterator
from typing import Any

import pytest
import worlds
from holdstandin import standing_in
from netns import CLIENT, World, inside
from sctp import INIT, INIT_ACK, TAG, Endpoint, Received

from nplconf.hold.sockets import supported
from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
NODE_IP = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
IPS = {name: {"IPv4": f"10.244.3.{i}", "IPv6": f"fd00:244::{i}"} for i, name in enumerate(("amf", "next"), 1)}
FAMILIES = ["IPv4", "IPv6"]
PORT = 38412
SOURCE_PORT = 38412
"""Clients of such protocols often have a fixed port of their own."""


@pytest.fixture
def node(node: World) -> Iterator[World]:
    """A node whose range is held for SCTP, too, and two places for the Pod amf."""
    for name, ips in IPS.items():
        node.routed(name, *ips.values())
    with standing_in(node.directory / "hold.sock"):
        node.hold = True
        yield node


def have(node: World, at: str = "amf", *, enabled: bool = True) -> None:
    """The Pod amf at one of the places, and its Service, which asks for SCTP and for TCP at another port."""
    declared: list[dict[str, Any]] = [
        {"containerPort": PORT, "protocol": "SCTP", "name": "ngap"},
        {"containerPort": 8080},
    ]
    pod = worlds.raw_pod("amf", list(IPS[at].values()), labels={"app": "amf"}, ports=declared)
    service = worlds.raw_service("amf", [(PORT, "ngap", "SCTP"), (80, 8080, "TCP")], enabled=enabled)
    service["spec"] |= {"selector": {"app": "amf"}, "ipFamilies": FAMILIES}
    node.write(pod, service)


def published(node: World) -> dict[str, int]:
    """The node port of each protocol."""
    found = annotation.parse(worlds.annotations(node.cluster)["amf"])
    return {entry.protocol: entry.node_port for entry in found}


def exchange(node: World, family: str, number: int, at: str = "amf") -> tuple[Received | None, Received | None]:
    """What the Pod gets of a client's INIT to the node port, and what the client gets of the answer."""
    with inside(node.space(at)):
        pod = Endpoint(IPS[at][family])
    with inside(node.space("client")):
        client = Endpoint(CLIENT[family])
    with pod, client:
        client.send(NODE_IP[family], SOURCE_PORT, number)
        if (asked := pod.receive(INIT)) is None:
            return None, None
        pod.send(asked.source, asked.port, asked.source_port, INIT_ACK, TAG)
        return asked, client.receive(INIT_ACK)


@pytest.mark.watch_too
@pytest.mark.parametrize("family", FAMILIES)
def test_an_association_reaches_the_pod_and_its_answer_comes_from_the_node_port(node: World, family: str) -> None:
    have(node)
    assert node.apply("--sctp").code == 0
    number = published(node)["sctp"]
    asked, answered = exchange(node, family, number)
    assert asked == Received(CLIENT[family], SOURCE_PORT, PORT, INIT)
    assert answered == Received(NODE_IP[family], number, SOURCE_PORT, INIT_ACK)


@pytest.mark.watch_too
def test_every_command_knows_the_mapping_and_cleanup_removes_it(node: World) -> None:
    have(node)
    assert node.apply("--sctp").code == 0
    number = published(node)["sctp"]
    again = node.apply("--sctp")
    assert (again.code, again.counts) == (0, (4, 0, 0))
    verified = node.json("verify", "--sctp")
    assert verified.code == 0
    assert facts(verified.data["mappings"]) == {("ok", "ok", "ok")}
    shown = [row for row in node.json("show").data["mappings"] if row["protocol"] == "sctp"]
    assert {row["nodePort"] for row in shown} == {number}
    explained = node.nplconf("explain", f"sctp/{number}", "--sctp").stdout
    assert f"sctp/{number} is for shop/amf:{PORT}" in explained
    assert node.nplconf("cleanup").returncode == 0
    assert exchange(node, "IPv4", number) == (None, None)
    assert not [line for line in node.ours() if "sctp" in line.lower()]


def facts(rows: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(row["rule"], row["hold"], row["annotation"]) for row in rows}


@pytest.mark.watch_too
def test_a_lost_rule_is_found_and_made_again(node: World) -> None:
    have(node)
    assert node.apply("--sctp").code == 0
    number = published(node)["sctp"]
    node.lose(number, "sctp", "IPv6")
    assert node.json("verify", "--sctp").code == 2
    assert node.apply("--sctp").counts[1] == 1
    asked, _ = exchange(node, "IPv6", number)
    assert asked


@pytest.mark.watch_too
def test_a_client_with_a_fixed_port_follows_the_pod_to_its_new_address(node: World) -> None:
    have(node)
    assert node.apply("--sctp").code == 0
    number = published(node)["sctp"]
    assert exchange(node, "IPv4", number)[1]
    have(node, at="next")
    assert node.apply("--sctp").code == 0
    assert published(node)["sctp"] == number
    asked, answered = exchange(node, "IPv4", number, at="next")
    assert asked
    assert answered


@pytest.mark.watch_too
def test_without_the_option_the_port_is_skipped_and_a_mapping_of_before_goes(node: World) -> None:
    have(node)
    assert node.apply("--sctp").code == 0
    number = published(node)["sctp"]
    done = node.apply()
    assert done.code == 0
    assert [(row["reason"], row["protocol"]) for row in done.data["skipped"]] == [("protocol-unsupported", "sctp")]
    assert set(published(node)) == {"tcp"}
    assert exchange(node, "IPv4", number) == (None, None)


@pytest.mark.watch_too
def test_the_daemon_of_this_kernel_holds_sctp_or_says_that_it_cannot(node: World) -> None:
    """Without SCTP sockets the mapping fails by name, the other protocols are served, and doctor names the cause."""
    (node.directory / "hold.sock").unlink()
    have(node)
    node.start_hold("--sctp")
    done = node.apply("--sctp")
    (checked,) = (c for c in node.json("doctor", "--sctp").data["checks"] if c["check"] == "sctp")
    there = supported("sctp")
    assert set(published(node)) == ({"tcp", "sctp"} if there else {"tcp"})
    assert (done.code, checked["status"]) == ((0, "ok") if there else (5, "fail"))
    failures = {(f["step"], f["subject"].partition("/")[0]) for f in done.data["failures"]}
    assert failures == (set() if there else {("hold", "sctp"), ("hold", "sctp6")})
    assert all("no SCTP sockets" in f["message"] for f in done.data["failures"])
