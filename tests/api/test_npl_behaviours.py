"""What users of Antrea's NodePortLocal rely on, case by case: the real API server, real iptables, the command itself.

The behaviours are those of Antrea's documentation, of its controller's unit tests and of its end-to-end tests.
"""

import json
import re
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import netns
import pytest
import worlds
from apisite import Site
from area import Area
from echo import Answer

pytestmark = [pytest.mark.api, pytest.mark.kernel]
IP, IP2, IP6 = "10.244.3.10", "10.244.3.11", "fd00:244::10"
NODE_IPS = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
DNAT = re.compile(r"-p (\w+) .*--dport (\d+) .*-j DNAT --to-destination (\S+)")
Want = dict[str, set[str]]


class Step(NamedTuple):
    """A change of the cluster, and which ports of which Pods are mapped after the next run: "80/tcp", "80/udp6"."""

    change: Callable[[Area], object]
    want: Want


def pod(name: str = "a", *ips: str, **facts: Any) -> Callable[[Area], object]:
    return lambda area: area.pod(name, ips or (IP,), **facts)


def service(name: str = "web", *targets: tuple[int | str, str], **spec: Any) -> Callable[[Area], object]:
    """targets: (targetPort, protocol)."""
    ports = [(80 + i, target, protocol) for i, (target, protocol) in enumerate(targets or [(80, "TCP")])]

    def create(area: Area) -> object:
        raw = worlds.raw_service(name, ports, namespace=area.namespace)
        return area.create_service(raw | {"spec": raw["spec"] | spec})

    return create


def all_of(*changes: Callable[[Area], object]) -> Callable[[Area], object]:
    return lambda area: [change(area) for change in changes]


def patched(kind: str, name: str, body: dict[str, Any]) -> Callable[[Area], object]:
    return lambda area: area.plane.ok("PATCH", f"/api/v1/namespaces/{area.namespace}/{kind}/{name}", body)


def selecting(value: str | None) -> Callable[[Area], object]:
    """What the Service's annotation that selects is set to."""
    return patched("services", "web", {"metadata": {"annotations": {worlds.ENABLED: value}}})


def retargeted(*targets: tuple[int | str, str]) -> Callable[[Area], object]:
    """Other ports of the Service."""
    rows = [
        {"name": f"p{i}", "port": 80 + i, "targetPort": target, "protocol": protocol}
        for i, (target, protocol) in enumerate(targets)
    ]
    return patched("services", "web", {"spec": {"ports": rows}})


def status(name: str, **facts: Any) -> Callable[[Area], object]:
    return lambda area: area.status(name, facts)


def with_ips(*ips: str) -> dict[str, Any]:
    return {"podIP": ips[0] if ips else None, "podIPs": [{"ip": ip} for ip in ips] or None}


def gone(name: str, kind: str = "pods") -> Callable[[Area], object]:
    return lambda area: area.delete(name, kind)


def elsewhere(area: Area) -> Area:
    """A area that is another namespace of the same cluster."""
    return Area(area.plane)


def nodes_address(address: str) -> Callable[[Area], object]:
    addresses = [{"type": "ExternalIP", "address": address}, {"type": "InternalIP", "address": "10.0.0.1"}]
    return lambda area: area.plane.ok(
        "PATCH", f"/api/v1/nodes/{area.node}/status", {"status": {"addresses": addresses}}
    )


def host_network(area: Area) -> object:
    raw = worlds.raw_pod("a", ("10.0.0.1",), namespace=area.namespace, on=area.node)
    return area.create_pod(raw | {"spec": raw["spec"] | {"hostNetwork": True}})


BASE = all_of(pod(), service())
MAPPED: Want = {"a": {"80/tcp"}}
NOTHING: Want = {"a": set()}
PORTS = [{"port": 80, "nodePort": None, "targetPort": 80, "name": "p0", "protocol": "TCP"}]
OURS = '[{"podPort":80,"nodeIP":"10.10.10.10","nodePort":61000,"protocol":"tcp"}]'

CASES: dict[str, list[Step]] = {
    "a selected Pod is annotated": [Step(BASE, MAPPED)],
    "a Service that comes after its Pod selects it": [Step(pod(), NOTHING), Step(service(), MAPPED)],
    "a Service of another namespace selects nothing here": [
        Step(all_of(pod(), lambda area: service()(elsewhere(area))), NOTHING)
    ],
    "removing a namesake in another namespace changes nothing here": [
        Step(all_of(BASE, lambda area: service()(elsewhere(area))), MAPPED),
        Step(gone("web", "services"), NOTHING),
    ],
    "a Service that becomes a NodePort one selects no more, and again when it is ClusterIP": [
        Step(BASE, MAPPED),
        Step(patched("services", "web", {"spec": {"type": "NodePort"}}), NOTHING),
        Step(patched("services", "web", {"spec": {"type": "ClusterIP", "ports": PORTS}}), MAPPED),
    ],
    "a LoadBalancer Service selects": [Step(all_of(pod(), service(type="LoadBalancer")), MAPPED)],
    "a headless Service selects": [Step(all_of(pod(), service(clusterIP="None")), MAPPED)],
    "an ExternalName Service selects nothing": [
        Step(all_of(pod(), service(type="ExternalName", externalName="example.com", ipFamilies=None)), NOTHING)
    ],
    "a Service without a selector selects nothing": [
        Step(all_of(pod(), service(selector=None)), NOTHING),
        Step(patched("services", "web", {"spec": {"selector": {"app": "web"}}}), MAPPED),
        Step(patched("services", "web", {"spec": {"selector": None}}), NOTHING),
    ],
    "every pair of a selector must fit": [
        Step(all_of(pod(), service(selector={"app": "web", "tier": "front"})), NOTHING),
        Step(patched("pods", "a", {"metadata": {"labels": {"tier": "front"}}}), MAPPED),
    ],
    "the annotation set to false, and back": [
        Step(BASE, MAPPED), Step(selecting("false"), NOTHING), Step(selecting("true"), MAPPED)
    ],
    "the annotation removed": [Step(BASE, MAPPED), Step(selecting(None), NOTHING)],
    "only the exact word selects": [
        Step(BASE, MAPPED),
        Step(selecting("True"), NOTHING),
        Step(selecting(""), NOTHING),
        Step(selecting("true"), MAPPED),
    ],
    "a selector that no longer fits, and back": [
        Step(BASE, MAPPED),
        Step(patched("services", "web", {"spec": {"selector": {"app": "other"}}}), NOTHING),
        Step(patched("services", "web", {"spec": {"selector": {"app": "web"}}}), MAPPED),
    ],
    "a Pod whose labels no longer fit": [
        Step(BASE, MAPPED), Step(patched("pods", "a", {"metadata": {"labels": {"app": "other"}}}), NOTHING)
    ],
    "a deleted Service": [Step(BASE, MAPPED), Step(gone("web", "services"), NOTHING)],
    "a deleted Pod": [Step(BASE, MAPPED), Step(gone("a"), {})],
    "two target ports have two numbers, and one of them goes": [
        Step(all_of(pod(), service("web", (80, "TCP"), (90, "TCP"))), {"a": {"80/tcp", "90/tcp"}}),
        Step(retargeted((80, "TCP")), MAPPED),
    ],
    "ports of the Pod that no Service targets are left alone": [
        Step(all_of(pod(ports=[{"containerPort": 80}, {"containerPort": 81}]), service()), MAPPED)
    ],
    "a target port that the Pod does not declare": [
        Step(all_of(pod(ports=[{"containerPort": 81}]), service()), MAPPED)
    ],
    "two Services for one Pod": [
        Step(all_of(BASE, service("more", (9090, "TCP"))), {"a": {"80/tcp", "9090/tcp"}}),
        Step(gone("web", "services"), {"a": {"9090/tcp"}}),
    ],
    "a Service replaced by another for the same port keeps the mapping": [
        Step(BASE, MAPPED), Step(all_of(gone("web", "services"), service("new")), MAPPED)
    ],
    "a port name of the Pod's": [
        Step(all_of(pod(ports=[{"containerPort": 80, "name": "http"}]), service("web", ("http", "TCP"))), MAPPED),
        Step(retargeted(("wrong", "TCP")), NOTHING),
        Step(retargeted(("http", "TCP")), MAPPED),
    ],
    "one name for different ports in different Pods": [
        Step(
            all_of(
                pod("a", IP, ports=[{"containerPort": 80, "name": "http"}]),
                pod("b", IP2, ports=[{"containerPort": 8080, "name": "http"}]),
                service("web", ("http", "TCP")),
            ),
            {"a": {"80/tcp"}, "b": {"8080/tcp"}},
        )
    ],
    "several Pods": [Step(all_of(pod("a", IP), pod("b", IP2), service()), {"a": {"80/tcp"}, "b": {"80/tcp"}})],
    "UDP": [Step(all_of(pod(), service("web", (80, "UDP"))), {"a": {"80/udp"}})],
    "both protocols of one port": [
        Step(all_of(pod(), service("web", (80, "UDP"))), {"a": {"80/udp"}}),
        Step(retargeted((80, "UDP"), (80, "TCP")), {"a": {"80/tcp", "80/udp"}}),
        Step(retargeted((80, "TCP")), MAPPED),
    ],
    "one port of two Pods, by another protocol each": [
        Step(
            all_of(
                pod("a", IP, labels={"app": "a"}),
                pod("b", IP2, labels={"app": "b"}),
                service("tcp", (80, "TCP"), selector={"app": "a"}),
                service("udp", (80, "UDP"), selector={"app": "b"}),
            ),
            {"a": {"80/tcp"}, "b": {"80/udp"}},
        ),
        Step(service("more", (80, "TCP"), selector={"app": "b"}), {"a": {"80/tcp"}, "b": {"80/tcp", "80/udp"}}),
    ],
    "a protocol that is not supported": [
        Step(all_of(pod(), service("web", (80, "SCTP"), (81, "TCP"))), {"a": {"81/tcp"}})
    ],
    "a Pod without an IP yet": [
        Step(all_of(pod(), service(), status("a", phase="Pending", **with_ips())), NOTHING),
        Step(status("a", phase="Running", **with_ips(IP)), MAPPED),
    ],
    "a Pod that loses its IP, and has another one then": [
        Step(BASE, MAPPED), Step(status("a", **with_ips()), NOTHING), Step(status("a", **with_ips(IP2)), MAPPED)
    ],
    "a Pod whose IP changes": [Step(BASE, MAPPED), Step(status("a", **with_ips(IP2)), MAPPED)],
    "a Pod created again under its name, with another IP, between two runs": [
        Step(BASE, MAPPED), Step(all_of(gone("a"), pod("a", IP2)), MAPPED)
    ],
    "an IP that went from a Pod that has ended to another": [
        Step(all_of(pod("a", IP), service()), MAPPED),
        Step(all_of(status("a", phase="Succeeded"), pod("b", IP)), {"a": set(), "b": {"80/tcp"}}),
        Step(gone("a"), {"b": {"80/tcp"}}),
        Step(gone("b"), {}),
    ],
    "a Pod that has failed": [Step(BASE, MAPPED), Step(status("a", phase="Failed"), NOTHING)],
    "the node's address changes": [Step(BASE, MAPPED), Step(nodes_address("10.10.10.20"), MAPPED)],
    "IPv6 only": [
        Step(all_of(pod("a", IP6), service(ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack")), {"a": {"80/tcp6"}})
    ],
    "dual stack": [
        Step(
            all_of(pod("a", IP, IP6), service(ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack")),
            {"a": {"80/tcp", "80/tcp6"}},
        )
    ],
    "a dual stack Pod of a Service for IPv4": [Step(all_of(pod("a", IP, IP6), service()), MAPPED)],
    "a dual stack Service for a Pod of IPv4": [
        Step(all_of(pod(), service(ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack")), MAPPED)
    ],
    "a Service for IPv6 and a Pod of IPv4": [
        Step(all_of(pod(), service(ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack")), NOTHING)
    ],
    "a Pod on the node's network": [
        Step(all_of(host_network, service()), NOTHING)
    ],
    "an annotation of another writer: no JSON": [
        Step(all_of(pod(annotations={worlds.ANNOTATION: ""}), service()), MAPPED)
    ],
    "an annotation of another writer: a number out of the range": [
        Step(all_of(pod(annotations={worlds.ANNOTATION: OURS.replace("61000", "30000")}), service()), MAPPED)
    ],
    "an annotation of another writer: an entry without its port": [
        Step(all_of(pod(annotations={worlds.ANNOTATION: OURS.replace('"podPort":80,', "")}), service()), MAPPED)
    ],
    "an annotation of another writer: a Pod without an IP": [
        Step(all_of(pod(annotations={worlds.ANNOTATION: OURS}), service(), status("a", **with_ips())), NOTHING),
        Step(status("a", **with_ips(IP)), MAPPED),
    ],
    "an annotation of another writer: a Pod that nobody selects": [
        Step(pod(annotations={worlds.ANNOTATION: OURS}), NOTHING)
    ],
}  # fmt: skip


def entries(node: Site, name: str) -> list[dict[str, Any]]:
    """The entries of a Pod's annotation, one for each protocol."""
    rows = json.loads(node.area.annotation(name) or "[]")
    return [row | {"protocol": protocol} for row in rows for protocol in row.get("protocols", [row["protocol"]])]


def label(entry: dict[str, Any]) -> str:
    return f"{entry['podPort']}/{entry['protocol']}{'6' if entry['ipFamily'] == 'IPv6' else ''}"


def in_kernel(node: Site) -> set[tuple[str, ...]]:
    """Return (family, protocol, node port, to) of every DNAT rule of nplconf."""
    return {(family, *found) for family in ("IPv4", "IPv6") for found in DNAT.findall("\n".join(node.ours(family)))}


def published(node: Site, want: Want) -> set[tuple[str, ...]]:
    """What the annotations promise, as rules."""
    found: set[tuple[str, ...]] = set()
    for name in want:
        ips = {"IPv6" if ":" in i["ip"] else "IPv4": i["ip"] for i in node.area.get(name)["status"].get("podIPs", ())}
        for e in entries(node, name):
            ip = ips[e["ipFamily"]]
            to = f"[{ip}]:{e['podPort']}" if ":" in ip else f"{ip}:{e['podPort']}"
            found.add((e["ipFamily"], e["protocol"], str(e["nodePort"]), to))
    return found


def one_number_each(node: Site, want: Want) -> bool:
    """All protocols and families of a Pod's port share a number, and nobody else has it."""
    owned = {(name, e["podPort"], e["nodePort"]) for name in want for e in entries(node, name)}
    return len({port[:2] for port in owned}) == len(owned) == len({number for *_, number in owned})


@pytest.mark.parametrize("steps", CASES.values(), ids=CASES)
@pytest.mark.watch_too
def test_annotation_and_rules_follow_the_cluster(node: Site, steps: list[Step]) -> None:
    for number, step in enumerate(steps):
        step.change(node.area)

        applied = node.apply()

        assert applied.code == 0, applied.stderr
        assert not number or "resync" not in applied.causes, "an event starts the run"
        assert {name: {label(e) for e in entries(node, name)} for name in step.want} == step.want
        assert in_kernel(node) == published(node, step.want)
        assert one_number_each(node, step.want)
        if not any(step.want.values()):
            assert {node.area.annotation(name) for name in step.want} <= {None, "[]"}


# --- host ports ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("protocols", "advertised"), [(["TCP"], True), (["TCP", "UDP"], True), (["UDP"], False)])
def test_a_host_port_of_the_same_protocol_is_advertised_instead_of_a_number(
    node: Site,
    protocols: list[str],
    advertised: bool,  # noqa: FBT001
) -> None:
    node.area.pod("a", (IP,), ports=[{"containerPort": 80, "hostPort": 4001, "protocol": p} for p in protocols])
    service()(node.area)

    assert node.apply().code == 0

    (entry,) = entries(node, "a")
    assert (entry["nodePort"] == 4001) is advertised
    assert len(in_kernel(node)) == (0 if advertised else 1)


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_a_number_that_a_program_has_is_passed_over(node: Site) -> None:
    BASE(node.area)
    assert node.apply().code == 0
    number = entries(node, "a")[0]["nodePort"]
    node.nplconf("cleanup")
    (node.directory / "state" / "state.json").unlink()
    with netns.inside(node.node):
        program = socket.create_server(("0.0.0.0", number))

    with program:
        assert node.apply().code == 0

    assert entries(node, "a")[0]["nodePort"] != number


def test_a_rule_that_was_lost_is_made_again_with_its_number(node: Site) -> None:
    BASE(node.area)
    node.apply()
    before, annotations_before = node.ours(), node.area.annotation("a")
    rule = next(line for line in before if "-j DNAT" in line)
    node.restore(f"*nat\n{rule.replace('-A', '-D', 1)}\nCOMMIT\n")
    assert node.ours() != before

    assert node.apply().code == 0
    assert (node.ours(), node.area.annotation("a")) == (before, annotations_before)


def test_a_changed_port_range_moves_every_number(node: Site) -> None:
    for i in range(4):
        node.area.pod(f"p{i}", (f"10.244.3.{i + 10}",))
    service()(node.area)
    assert node.apply().code == 0

    assert node.apply("--port-range", "63000-64000").code == 0

    numbers = {e["nodePort"] for i in range(4) for e in entries(node, f"p{i}")}
    assert len(numbers) == 4
    assert all(63000 <= number <= 64000 for number in numbers)
    assert {int(rule[2]) for rule in in_kernel(node)} == numbers


# --- traffic ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["client", "node"])
def test_every_published_port_is_reached_from_outside_and_from_the_node(node: Site, place: str) -> None:
    node.create(node.routed("one", "10.244.3.21", tcp=(80, 8080), udp=(80,)))
    node.create(node.routed("two", "10.244.3.22", tcp=(80, 8080), udp=(80,)))
    service("web", (80, "TCP"), (8080, "TCP"), (80, "UDP"), selector={"all": "yes"})(node.area)

    assert node.apply().code == 0

    for name in ("one", "two"):
        found = entries(node, name)
        assert len(found) == 3
        for e in found:
            answer = node.ask(place, e["nodeIP"], e["nodePort"], protocol=e["protocol"])
            assert isinstance(answer, Answer), answer
            assert (answer.pod, answer.port) == (name, e["podPort"])


def test_what_is_no_longer_published_is_refused(node: Site) -> None:
    node.create(node.routed("one", "10.244.3.21", tcp=(80,)))
    service("web", (80, "TCP"), selector={"all": "yes"})(node.area)
    node.apply()
    (entry,) = entries(node, "one")
    assert isinstance(node.ask("client", entry["nodeIP"], entry["nodePort"]), Answer)

    node.area.delete("one")
    assert node.apply().code == 0

    assert node.ask("client", entry["nodeIP"], entry["nodePort"]) == "refused"
