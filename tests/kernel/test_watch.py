"""`nplconf watch` on a real kernel: rules that another program removes are restored without a cluster's event."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import preloaded
import pytest
import worlds
from echo import Answer
from netns import World
from shims import Shims
from watching import eventually, watching

pytestmark = pytest.mark.kernel


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


@pytest.mark.parametrize(
    ("backend", "flush"),
    [
        ("nft", ("iptables-nft", "-t", "nat", "-F")),
        ("nft", ("nft", "flush", "ruleset")),
        ("nftables", ("nft", "flush", "ruleset")),
    ],
    indirect=["backend"],
)
def test_a_client_is_answered_within_a_second_after_a_flush(served: World, flush: tuple[str, ...]) -> None:
    with watching(served, "--resync", "600"):
        eventually(lambda: len(served.dispatched()) == 1 and published(served, "web"))
        (number,) = map(int, served.dispatched())

        def answered() -> bool:
            return served.ask("client", "10.10.10.10", number, patience=0.2) == Answer("web", 8080, "10.10.10.77")

        def seconds() -> float:
            eventually(answered)
            assert served.run(*flush).returncode == 0
            return eventually(answered)

        assert min(seconds() for _ in range(3)) < 1.0


@pytest.mark.parametrize("backend", ["nft", "nftables"], indirect=True)
def test_a_rule_that_is_lost_at_once_after_it_was_written_is_back(served: World) -> None:
    """Its loss is notified with the name of a program that nplconf uses, too."""
    with watching(served, "--resync", "600"):
        for _ in range(3):
            eventually(lambda: len(served.dispatched()) == 1)
            (number,) = served.dispatched()
            served.lose(int(number), "tcp", "IPv4")
        eventually(lambda: len(served.dispatched()) == 1)


def test_the_resync_heals_what_no_notification_reported(served: World) -> None:
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
        _, output = process.communicate(timeout=5)
    assert "the last good one stays in force" in output


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


# --- start and end ---------------------------------------------------------------------------------------------------

STARTS = {
    "no credentials": (("--kubeconfig", "/nowhere"), 78),
    "a config that is missing": (("--config", "/nowhere"), 78),
    "--check": (("--check",), 64),
    "no plan and no cluster": (("--no-cluster",), 64),
    "a cluster from stdin": (("--cluster-state", "-"), 64),
    "a plan from stdin": (("-",), 64),
    "an address without a port": (("--listen", "127.0.0.1"), 64),
    "a resync without an end": (("--resync", "0"), 64),
    "--write-back to an API server": (("--write-back", "/tmp/none"), 64),
    "a cluster file that is missing": (("--cluster-state", "/nowhere"), 65),
    "a state directory that cannot be made": (("--cluster-state", __file__, "--state-dir", "/proc/none/state"), 77),
    "a cluster file that is a directory": (("--cluster-state", "/"), 65),
}


@pytest.mark.parametrize("backend", ["nft"], indirect=True)  # none of them is asked for
@pytest.mark.parametrize(("words", "code"), STARTS.values(), ids=STARTS)
def test_it_ends_with_the_exit_code_of_apply_if_it_cannot_start(
    node: World, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    options = ("--node", worlds.NODE, "--state-dir", str(node.directory / "state"), "--no-hold")
    done = preloaded.run(("watch", *options, *words), timeout=20, space=node.node, env=node._environment())
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("backend", ["nft", "nftables"], indirect=True)
def test_without_credentials_it_restores_the_last_good_plan_before_it_ends(served: World) -> None:
    served.apply()
    before = sorted(served.ours())
    lose_rules(served)
    options = ("--node", worlds.NODE, "--kubeconfig", "/nowhere", *served._options()[6:])
    done = served.run(sys.executable, "-m", "nplconf", "watch", *options, timeout=20)
    assert (done.returncode, sorted(served.ours())) == (78, before), done.stderr
    assert done.stderr.count("/nowhere") == 1


def test_without_the_right_to_change_rules_it_does_not_start(served: World) -> None:
    weak = ("capsh", "--drop=cap_net_admin", "--", "-c", 'exec "$@"', "sh")
    options = ("--node", worlds.NODE, "--state-dir", str(served.directory / "state"), *served._options()[2:6])
    done = served.run(*weak, sys.executable, "-m", "nplconf", "watch", *options, timeout=20)
    assert done.returncode == 77, done.stderr


def test_sigterm_before_the_first_list_ends_it_within_a_second(node: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        server = f"http://127.0.0.1:{silent.getsockname()[1]}"
        known = worlds.kubeconfig(node.directory / "kubeconfig", {"token": "t"}, server=server)
        argv = [sys.executable, "-m", "nplconf", "watch", "--node", worlds.NODE, "--kubeconfig", str(known)]
        argv += ["--no-hold", "--state-dir", str(node.directory / "state")]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
            try:
                client, _ = silent.accept()
            except TimeoutError:
                process.kill()
                pytest.fail(f"it asks nobody: {process.communicate()[1]}")
            with client:
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                _, output = process.communicate(timeout=10)
        assert process.returncode == 0, output
        assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_sigterm_while_rules_are_written_ends_it_within_a_second(served: World, tmp_path: Path) -> None:
    served.shims = Shims.make(tmp_path / "shims")
    marker = tmp_path / "writing"
    served.shims.have(f"iptables-{served.backend}-restore", f'grep -q "^-A" "$call" && touch {marker} && sleep 60')
    with watching(served) as process:
        eventually(marker.exists)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert time.monotonic() - began < 1.0
    served.shims = None
    assert served.apply().code == 0
    assert published(served, "web")


def test_a_plan_that_is_broken_degrades_each_run_until_it_is_good_again(served: World) -> None:
    plan = served.directory / "plan.yaml"
    assert served.nplconf("render", "--out", str(plan)).returncode == 0
    metrics = served.directory / "metrics.prom"

    def status(code: int) -> bool:
        return metrics.exists() and f"nplconf_last_run_exit_status {float(code)}" in metrics.read_text()

    with watching(served, str(plan), "--resync", "600", "--textfile", str(metrics)):
        eventually(lambda: status(0))
        good = plan.read_text()
        plan.write_text("apiVersion: none\n")
        eventually(lambda: status(5))
        assert published(served, "web")
        plan.write_text(good)
        eventually(lambda: status(0))
