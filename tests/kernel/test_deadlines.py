"""A program that hangs never extends a run beyond its deadline, and the next run completes its work."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import worlds
from echo import Answer
from netns import World
from shims import Shims

from nplconf.publish import annotation

pytestmark = pytest.mark.kernel
FOR_EVER = 100_000 + os.getpid()
"""Seconds that no other test on this machine sleeps."""
QUICK = """
import sys
from nplconf import deadline
from nplconf.cli.main import main
deadline.SECONDS = 3.0
sys.exit(main())
"""


@pytest.fixture
def backend() -> str:
    return "nft"


@pytest.fixture
def served(node: World) -> World:
    node.write(node.routed("web", "10.244.3.1"), worlds.raw_service("web", [(80, 8080, "TCP")]))
    return node


@contextlib.contextmanager
def running(node: World, *arguments: str, code: str = QUICK) -> Iterator["subprocess.Popen[str]"]:
    """`nplconf apply` on the node, whose runs have three seconds."""
    argv = node._inside(sys.executable, "-c", code, "apply", *arguments, *node._options())
    with subprocess.Popen(
        argv, env=node._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            yield run
        finally:
            run.kill()


@pytest.mark.watch_too
@pytest.mark.parametrize("program", ["iptables-nft-restore", "iptables-nft-save", "ip6tables-nft-restore"])
def test_an_iptables_that_hangs_is_ended_with_the_run(served: World, tmp_path: Path, program: str) -> None:
    served.shims = Shims.make(tmp_path / "shims")
    served.shims.have(program, f"sleep {FOR_EVER}")
    began = time.monotonic()
    with running(served) as run:
        _, output = run.communicate(timeout=20)
    assert time.monotonic() - began < 8
    assert run.returncode in (5, 69), output
    assert "Traceback" not in output
    assert subprocess.run(["pgrep", "-f", f"^sleep {FOR_EVER}"], check=False, stdout=subprocess.DEVNULL).returncode == 1
    served.shims = None
    assert served.apply().code == 0
    assert served.apply().counts == (1, 0, 0)


@pytest.mark.watch_too
def test_a_hold_daemon_that_hangs_lets_nothing_new_in_and_keeps_what_is_there(served: World) -> None:
    assert served.apply().code == 0
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(served.directory / "hold.sock"))
        mute.listen()
        served.hold = True
        began = time.monotonic()
        with running(served, "--textfile", str(served.directory / "m.prom")) as run:
            run.communicate(timeout=20)
        assert time.monotonic() - began < 8
        assert run.returncode == 5
    (text,) = filter(None, worlds.annotations(served.cluster).values())
    number = annotation.parse(text)[0].node_port
    assert isinstance(served.ask("client", "10.10.10.10", number), Answer)


@pytest.mark.watch_too
def test_asked_to_end_it_ends_between_two_steps_and_the_next_run_goes_on(served: World, tmp_path: Path) -> None:
    served.shims = Shims.make(tmp_path / "shims")
    marker = tmp_path / "writing"
    # the child that writes is slow, and is not disturbed
    served.shims.have("iptables-nft-restore", f'grep -q "^-A" "$call" && touch {marker} && sleep 1')
    with running(served, code=QUICK.replace("3.0", "30.0")) as run:
        until = time.monotonic() + 10
        while not marker.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        run.terminate()  # `ip netns exec` and all that follows it have become the one process
        _, output = run.communicate(timeout=20)
    assert run.returncode == 143, output
    assert "asked to end" in output
    assert any("-j DNAT" in line for line in served.ours()), "the transaction that ran came to its end"
    assert not any(worlds.annotations(served.cluster).values())
    served.shims = None
    assert served.apply().code == 0
    assert any(worlds.annotations(served.cluster).values())
