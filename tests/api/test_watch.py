"""`nplconf watch` against the real API server, with real iptables."""

import signal
import time

import faultproxy
import pytest
from apisite import Site
from watching import eventually, watching

pytestmark = [pytest.mark.api, pytest.mark.kernel]


def dnats(node: Site) -> int:
    return sum("-j DNAT" in rule for rule in node.ours())


def test_a_pod_that_appears_is_published_and_sigterm_ends_the_service(node: Site) -> None:
    node.area.service()
    with watching(node, "--resync", "600") as process:
        node.area.pod("web-0", ("10.244.3.10",))
        eventually(lambda: bool(node.area.annotation("web-0")))
        assert dnats(node) == 1
        node.area.pod("web-1", ("10.244.3.11",))
        eventually(lambda: bool(node.area.annotation("web-1")))
        assert dnats(node) == 2
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        assert process.returncode == 0
        assert time.monotonic() - began < 1.0
    assert dnats(node) == 2


def test_sigterm_while_a_patch_is_not_answered_ends_it_within_a_second(node: Site) -> None:
    node.area.service()
    for number in range(5):
        node.area.pod(f"web-{number}", (f"10.244.3.{10 + number}",))
    node.proxy.fail(faultproxy.hang(), "/api/v1/namespaces", "PATCH", times=99)
    with watching(node, "--resync", "600") as process:
        eventually(lambda: len(node.proxy.seen("PATCH")) > 1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert time.monotonic() - began < 1.0
    assert dnats(node) == 5
