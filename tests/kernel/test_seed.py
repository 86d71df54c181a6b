"""The fault that must be impossible (antrea-io/antrea#6281), on a real kernel, and related cases.

One Pod, two containers on 9090 and 9000, two Services; one loses its annotation.
"""

from typing import Any

import pytest
from echo import Answer
from netns import CLIENT, IPTABLES, World
from shims import Shims
from worlds import annotations, raw_service, read_objects

from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
NODE_IP = "10.10.10.10"


def services(*enabled: str) -> list[dict[str, Any]]:
    """The two Services; which of them ask for NodePortLocal."""
    ports = {"first": 9090, "second": 9000}
    made = [raw_service(name, [(80, port, "TCP")], enabled=name in enabled) for name, port in ports.items()]
    for service in made:
        service["spec"]["selector"] = {"app": "web-0"}
    return made


def numbers(node: World, pod: str = "web-0") -> dict[int, int]:
    """Return a Pod's annotation as podPort -> nodePort."""
    return {entry.pod_port: entry.node_port for entry in annotation.parse(annotations(node.cluster)[pod])}


@pytest.fixture
def seed(node: World) -> World:
    """The cluster of the issue, applied."""
    node.write(node.routed("web-0", "10.244.3.17", tcp=(9090, 9000)), *services("first", "second"))
    assert node.apply().counts == (0, 2, 0)
    return node


def second_loses_its_annotation(node: World) -> None:
    (listing,) = read_objects(node.cluster)
    kept = [item for item in listing["items"] if item["kind"] != "Service"]
    node.write(*(item for item in kept if item["kind"] != "Node"), *services("first"))


def test_both_ports_answer_and_see_the_client(seed: World) -> None:
    published = numbers(seed)
    assert set(published) == {9090, 9000}
    for pod_port, number in published.items():
        assert seed.ask("client", NODE_IP, number) == Answer("web-0", pod_port, CLIENT["IPv4"])


@pytest.mark.watch_too
def test_after_one_service_leaves_rule_and_annotation_are_of_the_other_port_only(seed: World) -> None:
    before = numbers(seed)
    second_loses_its_annotation(seed)

    applied = seed.apply()

    assert (applied.code, applied.counts) == (0, (1, 1, 0))
    assert numbers(seed) == {9090: before[9090]}
    assert seed.dispatched() == {str(before[9090])}
    assert seed.ask("client", NODE_IP, before[9090]) == Answer("web-0", 9090, CLIENT["IPv4"])
    assert seed.ask("client", NODE_IP, before[9000]) == "refused"
    assert seed.nplconf("verify").returncode == 0


@pytest.mark.watch_too
def test_the_run_after_it_writes_nothing(seed: World, shims: Shims) -> None:
    second_loses_its_annotation(seed)
    assert seed.apply().counts == (1, 1, 0)
    files = {path: path.stat().st_mtime_ns for path in (seed.cluster, *(seed.directory / "state").iterdir())}
    rules = seed.rules(), seed.rules("IPv6"), seed.ours()
    shims.forget()

    assert seed.apply().counts == (1, 0, 0)

    calls, children = shims.seen(), shims.children()
    assert len(calls) == len(children), "a child that no shim stands in for"
    assert all(call.reads for call in calls), calls
    assert sum(f"-{seed.backend}-" in call.line for call in calls) <= 2 * 2, "two per family"
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert (seed.rules(), seed.rules("IPv6"), seed.ours()) == rules


@pytest.mark.watch_too
@pytest.mark.parametrize("backend", IPTABLES, indirect=True)
def test_the_run_that_removes_one_port_writes_once_and_only_what_differs(seed: World, shims: Shims) -> None:
    before = chains(seed)
    second_loses_its_annotation(seed)
    shims.forget()

    assert seed.apply().counts == (1, 1, 0)

    calls = shims.seen()
    (write,) = (call for call in calls if not call.reads)
    family = write.line.split("-")[0]
    rest = [call.line for call in calls[calls.index(write) + 1 :]]
    assert [line.split("-")[0] for line in rest] == [family], "one call that reads what was written"
    after = chains(seed)
    written = {line.split()[0][1:] for line in write.text.splitlines() if line.startswith(":")}
    assert written == {name for name in before if before[name] != after.get(name)}
    assert len(before) - len(after) == 1, "the leaf of the one port"


def chains(node: World) -> dict[str, list[str]]:
    """Our chains' rules, by name."""
    found: dict[str, list[str]] = {line[1:].split()[0]: [] for line in node.ours() if line.startswith(":")}
    for line in node.ours():
        if line.startswith("-A NPLCONF"):
            found[line.split()[1]].append(line)
    return found
