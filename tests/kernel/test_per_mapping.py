"""A failed mapping never blocks another, nor the annotation of working ones."""

import socket
from typing import Any

import pytest
import worlds
from echo import Answer
from netns import CLIENT, IPTABLES, World, inside
from shims import Shims
from worlds import annotations

from nplconf.model import Family
from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
NODE_IP: dict[Family, str] = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}


@pytest.fixture
def dual(node: World) -> World:
    """Three Pods with both families, each with two ports that a Service asks for."""
    pods = [node.routed(f"web-{i}", f"10.244.3.{i}", f"fd00:244::{i}", tcp=(8080, 9090)) for i in (1, 2, 3)]
    node.write(*pods, all_ports())
    return node


def all_ports() -> dict[str, Any]:
    service = worlds.raw_service("web", [(80, 8080, "TCP"), (90, 9090, "TCP")])
    service["spec"] |= {"selector": {"all": "yes"}, "ipFamilies": ["IPv4", "IPv6"]}
    return service


def annotations_before(node: World) -> dict[tuple[str, int, Family], int]:
    """Return all annotation entries: (Pod, podPort, family) -> nodePort."""
    return {
        (pod, entry.pod_port, entry.family): entry.node_port
        for pod, text in annotations(node.cluster).items()
        for entry in annotation.parse(text)
    }


def break_ip6tables(shims: Shims) -> None:
    for backend in ("nft", "legacy"):
        for what in ("restore", "save"):
            shims.have(f"ip6tables-{backend}-{what}", "echo 'ip6tables: not today' >&2; exit 1")


@pytest.mark.parametrize("backend", IPTABLES, indirect=True)
def test_with_ip6tables_broken_and_one_port_stolen_all_else_is_in_place_and_published(
    dual: World, shims: Shims
) -> None:
    plan = dual.directory / "plan.yaml"
    assert dual.nplconf("render", "--out", str(plan)).returncode == 0
    rows = dual.json("plan", str(plan)).data["changes"]
    stolen = next(row["mapping"] for row in rows if row["mapping"]["pod"]["name"] == "web-2")
    break_ip6tables(shims)
    with inside(dual.node):
        thief = socket.create_server(("0.0.0.0", stolen["nodePort"]))

    with thief:
        applied = dual.apply(str(plan))

    assert applied.code == 5
    assert applied.counts[:2] == (0, 5)
    published = annotations_before(dual)
    assert len(published) == 5
    assert ("web-2", stolen["podPort"], "IPv4") not in published
    for (pod, port, family), number in published.items():
        assert family == "IPv4"
        assert dual.ask("client", NODE_IP[family], number) == Answer(pod, port, CLIENT[family])
    failed = {failure["subject"]: failure["message"] for failure in applied.data["failures"]}
    lost = f"{stolen['nodePort']} shop/web-2:{stolen['podPort']}"
    assert {subject for subject in failed if subject.startswith("tcp/")} == {f"tcp/{lost}"}
    assert len([subject for subject in failed if subject.startswith("tcp6/")]) == 6
    assert "taken by" in failed[f"tcp/{lost}"]
    assert "not today" in " ".join(failed.values())


@pytest.mark.parametrize("backend", IPTABLES, indirect=True)
def test_the_entries_of_a_family_that_breaks_stay_published_and_it_recovers(dual: World, shims: Shims) -> None:
    assert dual.apply().counts == (0, 12, 0)
    before = annotations_before(dual)
    break_ip6tables(shims)

    degraded = dual.apply()

    assert (degraded.code, degraded.data["summary"]["failed"]) == (5, 6)
    assert annotations_before(dual) == before, "the rules are there, only nobody can look"
    dual.shims = None
    assert dual.apply().counts == (12, 0, 0)


@pytest.mark.watch_too
def test_a_number_stolen_behind_a_live_mapping_is_left_and_the_mapping_moves(dual: World) -> None:
    assert dual.apply().code == 0
    before = annotations_before(dual)
    number = before["web-2", 8080, "IPv4"]
    with inside(dual.node):
        thief = socket.create_server(("0.0.0.0", number))

    with thief:
        applied = dual.apply()

        assert (applied.code, applied.counts) == (0, (10, 2, 0))
        moved = annotations_before(dual)["web-2", 8080, "IPv4"]
        assert {row["reason"] for row in applied.data["changes"]} == {"number-moved"}
        assert dual.ask("client", NODE_IP["IPv4"], moved) == Answer("web-2", 8080, CLIENT["IPv4"])
        assert str(number) not in dual.dispatched(), "a foreign server's port is never DNATed over"


@pytest.mark.parametrize("backend", IPTABLES, indirect=True)
def test_a_mapping_that_is_added_keeps_the_packet_counts_of_those_in_the_same_chain(node: World) -> None:
    here = ("--port-range", "61000-61007")
    pods = [node.routed(f"web-{i}", f"10.244.3.{i}", tcp=(8080,)) for i in (1, 2, 3, 4)]
    service = worlds.raw_service("web", [(80, 8080, "TCP")])
    service["spec"]["selector"] = {"all": "yes"}
    node.write(pods[0], pods[3], service)
    assert node.apply(*here).counts == (0, 2, 0)
    published = {pod: number for (pod, _, _), number in annotations_before(node).items()}
    for _ in range(3):
        assert node.ask("client", NODE_IP["IPv4"], published["web-4"]) == Answer("web-4", 8080, CLIENT["IPv4"])

    node.write(*pods, service)
    changes = node.apply(*here).data["changes"]
    added = {change["mapping"]["pod"]["name"] for change in changes if change["action"] == "add"}
    assert added == {"web-2", "web-3"}

    (line,) = (
        line
        for line in node.run(f"iptables-{node.backend}-save", "-c", "-t", "nat").stdout.splitlines()
        if f"--dport {published['web-4']} " in line
    )
    assert line.startswith("[3:")
