"""`nplconf watch` as a process on a node of the tests."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from netns import World


@contextlib.contextmanager
def watching(node: World, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `nplconf watch` on the node until the body ends."""
    argv = node._inside(sys.executable, "-m", "nplconf", "watch", *arguments, *node._options())
    with subprocess.Popen(argv, env=node._environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def eventually(what: Callable[[], bool], seconds: float = 15.0) -> float:
    """Wait until something holds. Return the seconds that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds
        time.sleep(0.005)
    return time.monotonic() - began
