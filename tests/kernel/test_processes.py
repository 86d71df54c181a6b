"""Commands on a node as processes that Python starts: most other tests fork them from one that has imported nplconf."""

import re
import sys
from typing import TYPE_CHECKING

import pytest
import worlds
from netns import World

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.kernel
COMMANDS = (
    ("plan",),
    ("apply", "-o", "json"),
    ("apply", "-o", "json"),
    ("verify", "-o", "json"),
    ("show",),
    ("explain", "pod/shop/web"),
    ("doctor",),
    ("render",),
    ("adopt", "--check"),
    ("cleanup", "--check"),
    ("cleanup",),
    ("verify",),
)


@pytest.fixture
def town(node: World) -> World:
    """A node with a Pod to map and the hold daemon."""
    node.write(node.routed("web", "10.244.3.1"), worlds.raw_service("web", [(80, 8080, "TCP")]))
    node.start_hold()
    return node


def test_each_command_ends_as_the_same_command_by_fork(town: World) -> None:
    first = town.cluster.read_bytes()
    forked = [result(town.nplconf(*words)) for words in COMMANDS]
    town.cluster.write_bytes(first)
    (town.directory / "state" / "state.json").unlink()

    started = [
        result(town.run(sys.executable, "-m", "nplconf", *words, *town._options(), shimmed=True)) for words in COMMANDS
    ]

    assert started == forked
    assert [code for code, _ in started] == [0] * (len(COMMANDS) - 1) + [2]


def result(done: "subprocess.CompletedProcess[str]") -> tuple[int, str]:
    """The exit code, and the output without numbers such as durations."""
    return done.returncode, re.sub(r"[\d.]+", "0", f"{done.stdout}\n{done.stderr}")
