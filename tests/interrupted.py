"""Runs of nplconf that get a signal at a given instant. One process imports everything and forks for each run.

A run begins at once, so that the instants fall into its steps and not into Python's start.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netns import World

_PARENT = """
import importlib, json, os, sys
from nplconf.cli import main
for name in ("apply", "verify"):
    importlib.import_module(f"nplconf.cli.commands.{name}")
for name in ("cluster.file.dump", "cluster.file.formats", "cluster.json_items", "node.ctnetlink", "output.structured"):
    importlib.import_module(f"nplconf.{name}")
for line in sys.stdin:
    log, *words = json.loads(line)
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(f"{log}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        code = main.main(words)
        sys.stdout.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a run.

    Attributes:
        code: Negative: the signal that ended it.
        seconds: Its duration.
    """

    code: int
    out: str
    stderr: str
    seconds: float

    @property
    def data(self) -> dict[str, Any]:
        """Its JSON output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(slots=True)
class Runner:
    """Starts runs on a node."""

    node: World
    process: "subprocess.Popen[str]"

    def run(self, command: str, *arguments: str, strike: tuple[int, float] | None = None) -> Ended:
        """A command to its end. strike: a signal, and the seconds after which it is sent."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        log = self.node.directory / "run"
        words = (command, *arguments, *self.node._options())
        self.process.stdin.write(json.dumps([str(log), *words]) + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        began = time.monotonic()
        if strike:
            time.sleep(strike[1])
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, strike[0])
        code = int(self.process.stdout.readline())
        out, output = (Path(f"{log}.{stream}").read_text() for stream in (1, 2))
        return Ended(code, out, output, time.monotonic() - began)


@contextlib.contextmanager
def runner(node: World) -> Iterator[Runner]:
    """What starts runs on this node."""
    argv = node._inside(sys.executable, "-c", _PARENT)
    with subprocess.Popen(
        argv, env=node._environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Runner(node, process)
        finally:
            process.kill()
