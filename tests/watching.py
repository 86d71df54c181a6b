"""`nplconf watch` as a process on a node of the tests."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netns import Applied, World

DRIVER = Path(__file__).with_name("watchdriver.py")


@contextlib.contextmanager
def watching(node: World, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `nplconf watch` on the node until the body ends."""
    with node.process("watch", *arguments, *node._options(), stderr=subprocess.PIPE, text=True) as process:
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
    """A node on which each `apply` is one run of watch mode, in one process as long as the options are the same.

    clock: Seconds by which the wall clock of that process is wrong.
    """

    driver: "subprocess.Popen[str] | None" = None
    clock: float = 0.0
    _argv: list[str] = field(default_factory=list)

    def apply(self, *arguments: str) -> Applied:
        """Carry out one run of watch mode."""
        start, log = time.monotonic(), self.directory / "watch.log"
        before = log.stat().st_size if self.driver and log.exists() else 0
        stdout = self.begin(*arguments).stdout
        assert stdout
        line, said = stdout.readline(), log.read_text()[before:]
        assert line, said
        assert "Traceback" not in said, said
        return Applied(stderr=said, seconds=time.monotonic() - start, **json.loads(line))

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin a run; the process that carries it out."""
        words = [str(DRIVER), *arguments, *self._options()]
        argv = self._inside(*words)
        if self.driver is None or argv != self._argv:
            self.stop()
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            with (self.directory / "watch.log").open("w") as log:
                self.driver = self.start(*words, stderr=log, **pipes)
            self._argv = argv
        assert self.driver.stdin
        self.driver.stdin.write(f"{self.clock}\n")
        self.driver.stdin.flush()
        return self.driver

    def stop(self) -> None:
        """Kill watch mode, in the middle of a run where one goes on."""
        if self.driver:
            self.driver.kill()
            self.driver.communicate()
        self.driver = None
