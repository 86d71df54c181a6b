"""A hold daemon that is dead, hangs or is not trusted: existing mappings follow their Pods, and none is added."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from changing import Site
from echo import Answer
from worlds import annotations

pytestmark = pytest.mark.kernel
NODE_IP = "10.10.10.10"
ANSWERS = {
    "rubbish": (b"\x1b[2Jhello\n", "its answer is not understood"),
    "cut off": (b'{"version": 1, "range": {"first": 61000,', "its answer is not understood"),
    "empty": (b"", "its answer is not understood"),
    "another version": (b'{"version": 2, "range": {"first": 61000, "last": 61019}, "taken": []}\n', "another version"),
    "another error": (b'{"version": 1, "error": "no such question"}\n', "does not understand the question"),
    "of endless length": (b" " * (17 << 20), "longer than"),
}


@contextlib.contextmanager
def impostor(path: Path, answer: bytes | None) -> Iterator[None]:
    """Something that listens where the daemon should: it says the answer, or with None nothing at all."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        open_ones: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = listener.accept()[0]
                    open_ones.append(client)
                    if answer is not None:
                        client.recv(100)
                        with contextlib.suppress(OSError):
                            client.sendall(answer)
                        client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for client in open_ones:
                client.close()


def assert_only_what_was_there_goes_on(node: Site, why: str) -> None:
    """web-0 has got another address and web-1 has come: the one follows, the other waits."""
    before = node.number()
    first = node.routed("web-0b", "10.244.3.18")
    first["metadata"] |= {"name": "web-0", "uid": "uid-web-0", "annotations": {}}
    node.cast(first, node.routed("web-1", "10.244.3.19"))

    applied = node.apply()

    assert applied.code == 5
    assert why in applied.stderr
    assert str(node.directory / "hold.sock") in applied.stderr
    assert [f["step"] for f in applied.data["failures"]] == ["hold"]
    assert "shop/web-1:8080" in applied.data["failures"][0]["subject"]
    assert node.number() == before
    assert node.ask("client", NODE_IP, before) == Answer("web-0b", 8080, "10.10.10.77")
    published = annotations(node.cluster)
    assert f'"nodePort":{before}' in str(published["web-0"])
    assert published["web-1"] is None
    assert not any("web-1" in line for line in node.ours())


@pytest.mark.watch_too
def test_without_the_daemon_rules_stay_and_follow_their_pods_and_nothing_new_is_let_in(node: Site) -> None:
    node.end_daemon()
    assert_only_what_was_there_goes_on(node, "it is not running: start nplconf-hold.service")


def test_a_daemon_that_accepts_and_sends_nothing_is_awaited_for_a_bounded_time(node: Site) -> None:
    node.end_daemon()
    with impostor(node.directory / "hold.sock", None):
        assert_only_what_was_there_goes_on(node, "it gives no answer in time")


@pytest.mark.watch_too
@pytest.mark.parametrize("kind", ANSWERS)
def test_an_invalid_response_of_the_daemon_counts_as_none(node: Site, kind: str) -> None:
    answer, why = ANSWERS[kind]
    node.end_daemon()
    with impostor(node.directory / "hold.sock", answer):
        assert_only_what_was_there_goes_on(node, why)


@pytest.mark.watch_too
def test_a_daemon_of_another_user_is_not_trusted(node: Site) -> None:
    node.end_daemon()
    path = node.directory / "hold.sock"
    path.unlink()
    for directory in (node.directory, *node.directory.parents[:3]):
        directory.chmod(0o777)
    code = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind(%r); s.listen(); print('ready', flush=True)\n"
        "while True:\n c = s.accept()[0]\n c.send(%r)\n c.close()"
    )
    answer = b'{"version": 1, "range": {"first": 61000, "last": 61019}, "taken": []}\n'
    argv = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", code % (str(path), answer)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd="/") as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"ready\n"
            assert_only_what_was_there_goes_on(node, "user 65534 runs it, so it is not trusted")
        finally:
            other.kill()


@pytest.mark.watch_too
def test_a_daemon_that_holds_other_numbers_lets_nothing_new_in(node: Site) -> None:
    node.end_daemon()
    (node.directory / "hold.sock").unlink()
    node.start_hold("--port-range", "50000-50009")
    assert_only_what_was_there_goes_on(node, "is not held")
    node.cast(*node.objects[:1])

    applied = node.apply()

    assert applied.code == 5
    assert "none of the node ports 61000-61019 is held: nothing new is let in" in applied.stderr
    assert applied.counts == (0, 1, 0), "the annotation that the new file lacks is repaired"


@pytest.mark.watch_too
def test_without_the_daemon_a_pod_that_is_gone_loses_its_rule_and_the_code_says_that_nothing_else_was_done(
    node: Site,
) -> None:
    number = node.number()
    node.end_daemon()
    node.cast()

    applied = node.apply("--allow-empty")

    assert (applied.code, applied.counts) == (5, (0, 1, 0))
    assert node.ask("client", NODE_IP, number) == "refused"


@pytest.mark.watch_too
def test_a_new_node_without_the_daemon_can_do_nothing_and_says_what_to_start(tmp_path: Path, node: Site) -> None:
    node.end_daemon()
    node.run("nft", "flush", "ruleset")
    (tmp_path / "state" / "state.json").unlink()

    applied = node.apply()

    assert applied.code == 5, "the annotation was withdrawn"
    assert "start nplconf-hold.service" in applied.stderr
    assert not any("--to-destination" in line for line in node.ours())


@pytest.mark.watch_too
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_number_that_was_stolen_while_the_daemon_was_dead_is_never_mapped_over_and_its_mapping_moves(
    node: Site, protocol: str
) -> None:
    number = node.number()
    node.end_daemon()
    (node.directory / "hold.sock").unlink()
    node.serve("node", **{protocol: (number,)})
    node.start_hold()

    applied = node.apply()

    assert applied.code == 0
    (change,) = applied.data["changes"]
    assert (change["action"], change["reason"]) == ("change", "number-moved")
    moved = node.number()
    assert moved != number
    assert node.ask("client", NODE_IP, moved) == Answer("web-0", 8080, "10.10.10.77")
    answer = node.ask("client", NODE_IP, number, protocol=protocol)
    assert answer == Answer("node", number, "10.10.10.77")
    assert f'"nodePort":{moved}' in str(annotations(node.cluster)["web-0"])
    assert node.json("verify").code == 0


@pytest.mark.watch_too
def test_who_stole_a_number_that_a_plan_binds_is_named(node: Site) -> None:
    number = node.number()
    plan = node.directory / "plan.yaml"
    assert node.nplconf("plan", "--out", str(plan)).returncode == 0
    node.end_daemon()
    (node.directory / "hold.sock").unlink()
    node.serve("node", tcp=(number,))
    node.start_hold()

    applied = node.apply(str(plan))

    assert applied.code == 5
    (failure,) = applied.data["failures"]
    assert failure["subject"] == f"tcp/{number} shop/web-0:8080"
    assert f"[{os.getpid()}]" in failure["message"]
    assert not any("--to-destination" in line for line in node.ours())
