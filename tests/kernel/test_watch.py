"""`nplconf watch` on a real kernel: rules that another program removes are back at once, without a cluster's events."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import worlds
from netns import World

pytestmark = pytest.mark.kernel


@contextlib.contextmanager
def watching(node: World, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`nplconf watch` on a node whose cluster is a file, until the body ends."""
    argv = node._inside(sys.executable, "-m", "nplconf", "watch", *arguments, *node._options())
    with subprocess.Popen(argv, env=node._environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def eventually(what: Callable[[], bool], seconds: float = 15.0) -> float:
    """Wait until it holds; the seconds that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.fixture
def served(node: World) -> World:
    """A node with one Pod and the Service that asks for it."""
    node.start_hold()
    node.write(node.routed("web", "10.244.3.1"), worlds.raw_service("web", [(80, 8080, "TCP")]))
    return node


def rules(node: World) -> int:
    return len(node.ours())


def published(node: World, name: str) -> bool:
    return (worlds.annotations(node.cluster).get(name) or "[]") != "[]"


def lose_rules(node: World) -> None:
    """Remove the rules of nplconf as another program would."""
    if node.backend == "nftables":
        node.run("nft", "flush", "table", "inet", "nplconf")
    else:
        node.run(f"iptables-{node.backend}", "-t", "nat", "-F", "NPLCONF-TCP")


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
@pytest.mark.parametrize(
    "erase",
    [
        ("iptables-nft", "-t", "nat", "-F"),
        ("iptables-nft", "-t", "nat", "-F", "NPLCONF-TCP"),
        ("iptables-nft", "-t", "nat", "-F", "PREROUTING"),
        ("nft", "flush", "ruleset"),
    ],
    ids=" ".join,
)
def test_rules_that_another_program_removes_are_back_within_a_second(served: World, erase: tuple[str, ...]) -> None:
    with watching(served, "--resync", "600"):
        eventually(lambda: rules(served) > 0)
        time.sleep(1.0)
        before = sorted(served.ours())
        assert served.run(*erase).returncode == 0
        assert eventually(lambda: sorted(served.ours()) == before) < 1.0


def test_the_resync_heals_what_no_notification_told(served: World) -> None:
    with watching(served, "--resync", "1"):
        eventually(lambda: rules(served) > 0)
        before = sorted(served.ours())
        lose_rules(served)
        eventually(lambda: sorted(served.ours()) == before, 5.0)


def test_a_cluster_file_that_is_edited_is_applied(served: World) -> None:
    with watching(served, "--resync", "600") as process:
        eventually(lambda: published(served, "web"))
        before = served.cluster.read_text()
        served.cluster.write_text(before.replace("10.244.3.1", "10.244.3.2"))
        eventually(lambda: any("10.244.3.2" in rule for rule in served.ours()), 5.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 0


def test_a_config_that_is_broken_keeps_the_last_good_one(served: World) -> None:
    config = served.directory / "config.yaml"
    config.write_text("coolDown: 5\n")
    with watching(served, "--config", str(config), "--resync", "1") as process:
        eventually(lambda: rules(served) > 0)
        config.write_text("coolDown: [\n")
        time.sleep(3.0)
        lose_rules(served)
        before = rules(served)
        eventually(lambda: rules(served) > before, 5.0)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=5)
    assert "the last good one stays in force" in said


def test_apply_by_hand_works_beside_the_service(served: World) -> None:
    with watching(served, "--resync", "600"):
        eventually(lambda: rules(served) > 0)
        assert served.apply().code == 0
        assert served.nplconf("verify").returncode == 0


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_a_lingering_rule_ends_at_its_time_without_an_event(served: World) -> None:
    with watching(served, "--resync", "600", "--linger", "3"):
        eventually(lambda: published(served, "web"))
        without = served.cluster.read_text().replace('"true"', '"false"').replace("'true'", "'false'")
        served.cluster.write_text(without)
        eventually(lambda: not published(served, "web"), 5.0)
        assert any("DNAT" in rule and "10.244.3.1" in rule for rule in served.ours())
        took = eventually(lambda: not any("10.244.3.1" in rule for rule in served.ours()), 10.0)
        assert took > 1.0
