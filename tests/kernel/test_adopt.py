"""A node that ran Antrea's NodePortLocal: beside an agent nothing is changed, and its leftovers are taken over."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import antrea
import pytest
import worlds
from echo import Answer
from netns import BACKENDS, World, inside
from repeating import PAUSE, repeated

pytestmark = [pytest.mark.kernel, pytest.mark.antrea]
ASKED = ("apply", "plan")


@pytest.fixture
def backend() -> str:
    return "nft"


def web(node: World) -> None:
    """One Pod and the Service that asks for its port."""
    web = node.routed("web", "10.244.3.1")
    web["metadata"]["labels"] = {"app": "web"}
    node.write(web, worlds.raw_service("web", [(80, 8080, "TCP")]))


# --- beside the agent ------------------------------------------------------------------------------------------------


@pytest.mark.watch_too
@pytest.mark.parametrize("command", ASKED)
def test_beside_an_agent_nothing_is_changed(node: World, tmp_path: Path, command: str) -> None:
    web(node)
    before = node.cluster.read_text()
    with antrea.agent(tmp_path, node.node) as pid:
        done = node.json(command)
        assert (done.code, done.data["blocked"]["kind"]) == (4, "antrea")
        assert f"antrea-agent[{pid}]" in done.stderr
        assert node.nplconf("verify").returncode == 2
        assert node.ours() == []
        assert node.cluster.read_text() == before
        assert node.json(command, "--force").code == 0
    assert node.apply().code == 0


def test_a_chain_whose_ports_are_listened_at_is_an_agents(node: World) -> None:
    web(node)
    node.restore(antrea.text(antrea.rule(61777, "10.244.3.1", 8080)))
    with inside(node.node), socket.socket() as holder:
        holder.bind(("0.0.0.0", 61777))
        assert node.apply().code == 0  # bound is not listening: that is how the hold daemon has it
        holder.listen()
        done = node.apply()
        assert done.code == 4
        assert "listening at tcp/61777" in done.stderr


def test_the_hold_daemon_does_not_start_beside_an_agent(node: World, tmp_path: Path) -> None:
    with antrea.agent(tmp_path, node.node) as pid:
        done = node.nplconf("hold", timeout=20)
        assert done.returncode == 4
        assert f"antrea-agent[{pid}]" in done.stderr
        node.start_hold("--force")


@pytest.mark.watch_too
def test_an_agent_elsewhere_or_without_nodeportlocal_does_not_block(node: World, tmp_path: Path) -> None:
    web(node)
    with antrea.agent(tmp_path, node.space("client")):
        assert node.apply().code == 0
    with antrea.agent(tmp_path, node.node, config="nodePortLocal:\n  enable: false\n"):
        assert node.apply().code == 0


@pytest.mark.watch_too
@pytest.mark.parametrize("where", ["nft", "legacy"])
def test_a_chain_left_behind_is_a_finding_of_every_run(node: World, where: str) -> None:
    web(node)
    assert node.apply().code == 0
    node.restore(antrea.text(antrea.rule(61777, "10.244.3.9", 8080)), backend=where)
    for command, code in (("plan", 0), ("apply", 0), ("verify", 2)):
        done = node.json(command)
        assert done.code == code
        (finding,) = done.data["findings"]
        assert (finding["kind"], finding["subject"]) == ("foreign", f"iptables-{where} IPv4 {antrea.CHAIN}")


# --- what it left ----------------------------------------------------------------------------------------------------

NODE_IPS = {"IPv4": "10.10.10.10", "IPv6": "fd00:10::10"}
NUMBERS = {"web": 61777, "dns": 61888}
SERVED = (("web", "10.244.3.1", 8080, "tcp"), ("dns", "10.244.3.2", 5353, "udp"))
ANSWERS = [Answer("web", 8080, "10.10.10.77"), Answer("dns", 5353, "10.10.10.77")]


def antreas(node: World, *strangers: str, version: str = "2.7", where: str = "nft") -> None:
    """Two Pods as Antrea serves them, and the Services that ask."""
    pods, services, rules = [], [], list(strangers)
    for name, address, port, protocol in SERVED:
        pod = node.routed(name, address, tcp=(8080,), udp=(5353,))
        row = (port, NUMBERS[name], protocol, "IPv4")
        value = antrea.annotation(version, "10.10.10.10", row)
        pod["metadata"]["annotations"] = {"nodeportlocal.antrea.io": value}
        service = worlds.raw_service(name, [(80, port, protocol.upper())])
        service["spec"]["selector"] = {"app": name}
        pods.append(pod)
        services.append(service)
        rules.append(antrea.rule(NUMBERS[name], address, port, protocol))
    node.write(*pods, *services)
    node.restore(antrea.text(*rules, version=version if version in antrea.JUMPS else "1.2"), backend=where)


def chain(node: World, where: str) -> list[str]:
    return [line for line in node.rules(backend=where) if "ANTREA" in line]


def asked(node: World) -> list[object]:
    """What a client is answered at both numbers."""
    return [node.ask("client", "10.10.10.10", NUMBERS[name], protocol=p) for name, _, _, p in SERVED]


@contextlib.contextmanager
def asking(node: World, address: str = "10.10.10.10") -> Iterator[list[Answer | str]]:
    """A client that connects in a loop until the body ends; its answers."""
    answers: list[Answer | str] = []
    with repeated(lambda: answers.append(node.ask("client", address, NUMBERS["web"])), PAUSE):
        yield answers


@pytest.mark.watch_too
@pytest.mark.parametrize("where", ["nft", "legacy"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_number_is_taken_over_while_clients_go_on(node: World, where: str) -> None:
    antreas(node, where=where)
    node.start_hold()
    assert asked(node) == ANSWERS
    with asking(node) as answers:
        done = node.json("adopt")
    assert done.code == 0, done.stderr
    assert [(a["nodePort"], a["decision"]) for a in done.data["adopted"]] == [(61777, "kept"), (61888, "kept")]
    assert chain(node, where) == []
    assert set(answers) == {ANSWERS[0]}
    assert len(answers) > 20
    assert asked(node) == ANSWERS
    assert node.nplconf("verify").returncode == 0
    published = {name: json.loads(text or "") for name, text in worlds.annotations(node.cluster).items()}
    assert {name: row[0]["nodePort"] for name, row in published.items()} == NUMBERS
    assert node.apply().counts[1:] == (0, 0)
    again = node.json("adopt")
    assert (again.code, again.data["adopted"]) == (0, [])
    assert node.nplconf("cleanup").returncode == 0
    assert node.dispatched() == set()


@pytest.mark.watch_too
@pytest.mark.parametrize("where", ["nft", "legacy"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_ipv6_is_taken_over_while_clients_go_on(node: World, where: str) -> None:
    """Both families of one Pod port, and a Pod with an IPv6 address alone."""
    both = node.routed("web", "10.244.3.1", "fd00:244::1")
    alone = node.routed("six", "fd00:244::2")
    ports = {"web": 61777, "six": 61888}
    services = []
    for pod, families in ((both, ("IPv4", "IPv6")), (alone, ("IPv6",))):
        name = pod["metadata"]["name"]
        rows = [(8080, ports[name], "tcp", family) for family in families]
        entries = [json.loads(antrea.annotation("2.7", NODE_IPS[row[3]], row))[0] for row in rows]
        pod["metadata"]["annotations"] = {"nodeportlocal.antrea.io": json.dumps(entries)}
        services.append(worlds.raw_service(name, [(80, 8080, "TCP")]))
        services[-1]["spec"] |= {"selector": {"app": name}, "ipFamilies": list(families)}
    node.write(both, alone, *services)
    node.restore(antrea.text(antrea.rule(61777, "10.244.3.1", 8080)), backend=where)
    six = [antrea.rule(61777, "fd00:244::1", 8080), antrea.rule(61888, "fd00:244::2", 8080)]
    node.restore(antrea.text(*six), "IPv6", backend=where)
    node.start_hold()
    with asking(node, NODE_IPS["IPv6"]) as answers:
        done = node.json("adopt")
    assert done.code == 0, done.stderr
    assert {(a["nodePort"], a["ipFamily"], a["decision"]) for a in done.data["adopted"]} == {
        (61777, "IPv4", "kept"),
        (61777, "IPv6", "kept"),
        (61888, "IPv6", "kept"),
    }
    assert set(answers) == {Answer("web", 8080, "fd00:10::77")}
    assert len(answers) > 20
    assert [line for line in node.rules("IPv6", backend=where) if "ANTREA" in line] == chain(node, where) == []
    assert node.ask("client", NODE_IPS["IPv6"], 61888) == Answer("six", 8080, "fd00:10::77")
    assert node.nplconf("verify").returncode == 0
    assert node.apply().counts[1:] == (0, 0)
    assert node.nplconf("cleanup").returncode == 0
    assert node.dispatched("IPv6") == node.dispatched() == set()
    assert node.ask("client", NODE_IPS["IPv6"], 61777) == "refused"


@pytest.mark.parametrize("version", ["0.13", "1.2", "1.7", "2.7"])
def test_annotations_of_every_version(node: World, version: str) -> None:
    antreas(node, version=version)
    done = node.json("adopt")
    assert done.code == 0
    assert {a["nodePort"]: a["decision"] for a in done.data["adopted"]} == {61777: "kept", 61888: "kept"}
    assert node.dispatched() == {"61777", "61888"}


def test_numbers_come_from_the_chain_where_annotations_are_lost(node: World) -> None:
    antreas(node)
    objects = json.loads(node.cluster.read_text())
    for item in objects["items"]:
        item["metadata"].pop("annotations", None) if item["kind"] == "Pod" else None
    node.cluster.write_text(json.dumps(objects))
    done = node.json("adopt")
    assert done.code == 0
    assert {a["nodePort"]: a["message"] for a in done.data["adopted"]} == dict.fromkeys(
        (61777, 61888), "no annotation named it; it is published now"
    )
    assert node.dispatched() == {"61777", "61888"}


def test_a_flow_goes_on_by_the_conntrack_entry_that_it_had(node: World) -> None:
    antreas(node)
    assert node.ask("client", "10.10.10.10", NUMBERS["dns"], protocol="udp", source_port=7000) == ANSWERS[1]
    before = flows(node)
    assert before
    assert node.json("adopt").code == 0
    assert flows(node) == before
    assert node.ask("client", "10.10.10.10", NUMBERS["dns"], protocol="udp", source_port=7000) == ANSWERS[1]


def flows(node: World) -> list[str]:
    """The identifiers of the conntrack entries of one number."""
    text = node.run("conntrack", "-L", "-p", "udp", "-o", "id").stdout
    return sorted(word for line in text.splitlines() if "61888" in line for word in line.split() if word[:3] == "id=")


def test_check_lists_all_and_changes_nothing(node: World) -> None:
    antreas(node, antrea.rule(61001, "10.244.3.99", 80), antrea.rule(61002, "10.244.3.1", 9999))
    before = (node.cluster.read_text(), node.rules())
    done = node.json("adopt", "--check")
    assert done.code == 0
    assert {a["nodePort"]: (a["decision"], a["pod"]) for a in done.data["adopted"]} == {
        61001: ("removed", None),
        61002: ("removed", "shop/web"),
        61777: ("kept", "shop/web"),
        61888: ("kept", "shop/dns"),
    }
    assert (node.cluster.read_text(), node.rules()) == before
    output = node.nplconf("adopt", "--check").stdout
    assert output.endswith("2 kept, 0 moved, 0 withdrawn, 2 removed. Nothing was changed.\n")


def test_a_rule_that_leads_to_another_pod_goes_and_the_pod_of_the_annotation_is_served(node: World) -> None:
    antreas(node)
    node.restore(f"*nat\n-F {antrea.CHAIN}\n{antrea.rule(61777, '10.244.3.2', 8080)}\nCOMMIT\n")
    assert node.ask("client", "10.10.10.10", 61777) == Answer("dns", 8080, "10.10.10.77")
    assert node.json("adopt").code == 0
    assert node.nplconf("verify").returncode == 0
    for name, answer in zip(NUMBERS, ANSWERS, strict=True):
        (entry,) = json.loads(worlds.annotations(node.cluster)[name] or "")
        assert node.ask("client", "10.10.10.10", entry["nodePort"], protocol=entry["protocol"]) == answer


@pytest.mark.parametrize("sign", ["process", "sockets"])
def test_it_is_refused_while_the_agent_lives(node: World, tmp_path: Path, sign: str) -> None:
    antreas(node)
    before = (node.cluster.read_text(), node.rules())
    with inside(node.node):
        holder = socket.socket()
    with holder:
        if sign == "sockets":
            holder.bind(("0.0.0.0", 61777))
            holder.listen()
            refused(node, "tcp/61777")
        else:
            with antrea.agent(tmp_path, node.node) as pid:
                refused(node, f"antrea-agent[{pid}]")
    assert (node.cluster.read_text(), node.rules()) == before


def refused(node: World, name: str) -> None:
    for way in ((), ("--check",), ("--force",)):
        done = node.json("adopt", *way)
        assert done.code == 4
        assert name in done.stderr


def test_what_nplconf_cannot_serve_yet_stays_in_the_chain(node: World) -> None:
    antreas(node)
    before = chain(node, "nft")
    node.hold = True  # and no daemon runs
    published = worlds.annotations(node.cluster)
    for command in ("apply", "adopt"):
        assert node.json(command).code == 69  # nothing could be done
        assert chain(node, "nft") == before
        assert asked(node) == ANSWERS
        assert worlds.annotations(node.cluster) == published
    node.hold = False
    assert node.json("adopt").code == 0
    assert worlds.annotations(node.cluster) == published


def test_an_unrequested_rule_moves_no_published_number(node: World) -> None:
    antreas(node, antrea.rule(61890, "10.244.3.2", 5353, "tcp"))
    done = node.json("adopt")
    assert {a["nodePort"]: a["decision"] for a in done.data["adopted"]} == {
        61777: "kept",
        61888: "kept",
        61890: "removed",
    }
    assert asked(node) == ANSWERS
    assert node.dispatched() == {"61777", "61888"}
