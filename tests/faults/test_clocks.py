"""Jumps of the clocks, including the boot-time clock, in a time namespace. Served ports stay served."""

import sys
from typing import TYPE_CHECKING

import pytest
from changing import Site
from echo import Answer
from worlds import annotations

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.kernel
DAY = 86_400


def at(seconds: int, node: Site, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with the clock since boot so far ahead."""
    ahead = ("unshare", "--time", "--fork", "--boottime", str(seconds))
    done = node.run(*ahead, sys.executable, "-m", "nplconf", command, *arguments, *node._options(), shimmed=True)
    assert "Traceback" not in done.stderr
    return done


def test_a_wrong_clock_changes_no_live_mapping(node: Site) -> None:
    number, rules, published = node.number(), node.ours(), annotations(node.cluster)
    for seconds in (400 * DAY, 0, 3600, 0):
        done = at(seconds, node, "apply")
        assert (done.returncode, done.stderr) == (0, "")
        assert "ok=1 changed=0" in done.stdout
    assert (node.ours(), annotations(node.cluster)) == (rules, published)
    assert node.ask("client", "10.10.10.10", number) == Answer("web-0", 8080, "10.10.10.77")


def test_a_number_cools_for_its_time_and_no_longer_also_when_the_clock_was_ahead_meanwhile(node: Site) -> None:
    number = node.number()
    pods = node.objects
    node.cast()
    assert at(DAY, node, "apply", "--allow-empty").returncode == 0
    assert "cools down" in at(DAY, node, "explain", f"tcp/{number}").stdout

    assert at(0, node, "apply", "--allow-empty").returncode == 0

    assert "cools down" in at(0, node, "explain", f"tcp/{number}").stdout
    assert "cools down" in at(1700, node, "explain", f"tcp/{number}").stdout
    assert "cools down" not in at(1900, node, "explain", f"tcp/{number}").stdout
    node.cast(*pods)
    assert at(DAY, node, "apply").returncode == 0
    assert node.number() == number, "its last owner gets it back at any time"
