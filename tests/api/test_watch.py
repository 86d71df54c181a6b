"""`nplconf watch` against the real API server, with real iptables."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import faultproxy
import pytest
from apisite import Site

pytestmark = [pytest.mark.api, pytest.mark.kernel]


@contextlib.contextmanager
def watching(node: Site, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`nplconf watch` on the node, until the body ends."""
    argv = node._inside(sys.executable, "-m", "nplconf", "watch", *arguments, *node._options())
    with subprocess.Popen(argv, env=node._environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def eventually(what: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait until it holds; how long that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds
        time.sleep(0.002)
    return time.monotonic() - began


def dnats(node: Site) -> int:
    return sum("-j DNAT" in rule for rule in node.ours())


def test_a_pod_that_appears_is_published_and_sigterm_ends_the_service(node: Site) -> None:
    node.corner.service()
    with watching(node, "--resync", "600") as process:
        node.corner.pod("web-0", ("10.244.3.10",))
        eventually(lambda: bool(node.corner.annotation("web-0")))
        assert dnats(node) == 1
        node.corner.pod("web-1", ("10.244.3.11",))
        eventually(lambda: bool(node.corner.annotation("web-1")))
        assert dnats(node) == 2
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        assert process.returncode == 0
        assert time.monotonic() - began < 1.0
    assert dnats(node) == 2


def test_sigterm_while_a_patch_is_not_answered_ends_it_within_a_second(node: Site) -> None:
    node.corner.service()
    for number in range(5):
        node.corner.pod(f"web-{number}", (f"10.244.3.{10 + number}",))
    node.proxy.fail(faultproxy.hang(), "/api/v1/namespaces", "PATCH", times=99)
    with watching(node, "--resync", "600") as process:
        eventually(lambda: len(node.proxy.seen("PATCH")) > 1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert time.monotonic() - began < 1.0
    assert dnats(node) == 5
