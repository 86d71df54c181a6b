"""`nplconf watch` as a process on a node of the tests."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from netns import Applied, World

DRIVER = Path(__file__).with_name("watchdriver.py")


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


@dataclass(slots=True)
class Watched(World):
    """A node on which each `apply` is one run of watch mode, in one process as long as the options are the same."""

    drivers: dict[tuple[str, ...], "subprocess.Popen[str]"] = field(default_factory=dict)

    def apply(self, *arguments: str) -> Applied:
        """Carry out one run of watch mode."""
        start = time.monotonic()
        argv = self._inside(sys.executable, str(DRIVER), *arguments, *self._options())
        log = self.directory / "watch.log"
        if tuple(argv) not in self.drivers:
            self.stop()
            with log.open("w") as stderr:
                self.drivers[tuple(argv)] = subprocess.Popen(
                    argv,
                    env=self._environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
        process = self.drivers[tuple(argv)]
        assert process.stdin
        assert process.stdout
        before = log.stat().st_size
        print(file=process.stdin, flush=True)
        line = process.stdout.readline()
        said = log.read_text()[before:]
        assert line, said
        assert "Traceback" not in said, said
        return Applied(stderr=said, seconds=time.monotonic() - start, **json.loads(line))

    def stop(self) -> None:
        """End watch mode."""
        for process in self.drivers.values():
            process.kill()
            process.communicate()
        self.drivers.clear()
