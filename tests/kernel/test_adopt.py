"""A node that ran Antrea's NodePortLocal: beside the agent nothing is changed, and what it left is taken over."""

import socket
from pathlib import Path

import antrea
import pytest
import worlds
from netns import World, inside

pytestmark = pytest.mark.kernel
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


@pytest.mark.parametrize("command", ASKED)
def test_beside_an_agent_nothing_is_changed(node: World, tmp_path: Path, command: str) -> None:
    web(node)
    before = node.cluster.read_text()
    with antrea.agent(tmp_path, node.node) as pid:
        done = node.told(command)
        assert (done.code, done.data["blocked"]["kind"]) == (4, "antrea")
        assert f"antrea-agent[{pid}]" in done.said
        assert node.nplconf("verify").returncode == 2
        assert node.ours() == []
        assert node.cluster.read_text() == before
        assert node.told(command, "--force").code == 0
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
        assert "listening at tcp/61777" in done.said


def test_the_hold_daemon_does_not_start_beside_an_agent(node: World, tmp_path: Path) -> None:
    with antrea.agent(tmp_path, node.node) as pid:
        done = node.nplconf("hold", timeout=20)
        assert done.returncode == 4
        assert f"antrea-agent[{pid}]" in done.stderr
        node.start_hold("--force")


def test_an_agent_of_another_node_or_without_nodeportlocal_is_no_matter(node: World, tmp_path: Path) -> None:
    web(node)
    with antrea.agent(tmp_path, node.space("client")):
        assert node.apply().code == 0
    with antrea.agent(tmp_path, node.node, config="nodePortLocal:\n  enable: false\n"):
        assert node.apply().code == 0


@pytest.mark.parametrize("where", ["nft", "legacy"])
def test_a_chain_left_behind_is_a_finding_of_every_run(node: World, where: str) -> None:
    web(node)
    assert node.apply().code == 0
    node.restore(antrea.text(antrea.rule(61777, "10.244.3.9", 8080)), backend=where)
    for command, code in (("plan", 0), ("apply", 0), ("verify", 2)):
        done = node.told(command)
        assert done.code == code
        (finding,) = done.data["findings"]
        assert (finding["kind"], finding["subject"]) == ("foreign", f"iptables-{where} IPv4 {antrea.CHAIN}")
