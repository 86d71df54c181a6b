"""`nplconf watch` as a process on a node of the tests."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import interrupted
from interrupted import Ended, Runner
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
class WatchRuns:
    """Carries out the runs of a node by watch mode, in one process as long as the options are the same.

    clock: Seconds by which the wall clock of that process is wrong.
    """

    node: World
    process: "subprocess.Popen[str] | None" = None
    clock: float = 0.0
    _argv: list[str] = field(default_factory=list)
    _log: int = -1
    """A descriptor of a file in memory: the node's disk may be full."""
    _read: int = 0

    def __call__(self, *arguments: str) -> Applied:
        """Carry out one run of watch mode."""
        stdout, start = self.begin(*arguments).stdout, time.monotonic()
        assert stdout
        line, said = stdout.readline(), self._said()
        assert line, said
        assert "Traceback" not in said, said
        return Applied(stderr=said, seconds=time.monotonic() - start, **json.loads(line))

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin a run; the process that carries it out."""
        words = [str(DRIVER), *arguments, *self.node._options()]
        argv = self.node._inside(*words)
        if self.process is None or argv != self._argv:
            self.stop()
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._argv, self._log = argv, os.memfd_create("watch.log")
            self.process = self.node.start(*words, stderr=self._log, **pipes)
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"clock": self.clock, "versions": self.node.versions()}) + "\n")
        self.process.stdin.flush()
        begins = self.process.stdout.readline()
        assert begins, self._said()
        return self.process

    def _said(self) -> str:
        """Return what the process has logged since the last call."""
        said = os.pread(self._log, os.fstat(self._log).st_size - self._read, self._read)
        self._read += len(said)
        return said.decode()

    def stop(self) -> None:
        """Kill watch mode, in the middle of a run where one goes on."""
        if self.process:
            self.process.kill()
            self.process.wait()
            for pipe in filter(None, (self.process.stdin, self.process.stdout)):
                with contextlib.suppress(OSError):  # what was written is not read any more
                    pipe.close()
            os.close(self._log)
        self.process, self._read = None, 0


class WatchRunner(NamedTuple):
    """Starts runs as `interrupted.Runner` does."""

    runs: WatchRuns

    def run(self, command: str, *arguments: str, strike: tuple[int, float] | None = None) -> Ended:
        """A run to its end; any other command by itself. strike: a signal, and the seconds after which it is sent."""
        if command != "apply":
            return _ended(self.runs.node.json(command, *arguments))
        arguments = tuple(word for word in arguments if word not in ("-o", "json"))  # it is what a run returns
        if not strike:
            return _ended(self.runs(*arguments))
        process, began = self.runs.begin(*arguments), time.monotonic()
        time.sleep(strike[1])
        process.send_signal(strike[0])
        line, _ = process.communicate(timeout=20)
        said = self.runs._said()
        self.runs.stop()
        found: dict[str, Any] = json.loads(line) if line.endswith("\n") else {"code": -strike[0], "data": {}}
        return Ended(found["code"], json.dumps(found["data"]), said, time.monotonic() - began)


def _ended(applied: Applied) -> Ended:
    return Ended(applied.code, json.dumps(applied.data), applied.stderr, applied.seconds)


@contextlib.contextmanager
def runner(node: World) -> Iterator[Runner | WatchRunner]:
    """What starts runs on this node, and can end them by a signal."""
    if isinstance(node.driver, WatchRuns):
        yield WatchRunner(node.driver)
        return
    with interrupted.runner(node) as found:
        yield found


@contextlib.contextmanager
def by_commands(_node: World) -> Iterator[None]:
    """Carry out each run of the node by `nplconf apply`."""
    yield


@contextlib.contextmanager
def by_watch(node: World) -> Iterator[None]:
    """Carry out the node's runs by watch mode until the body ends."""
    runs = WatchRuns(node)
    node.driver = runs
    try:
        yield
    finally:
        runs.stop()


Driven = Callable[[World], contextlib.AbstractContextManager[None]]
DRIVEN: dict[str, Driven] = {"one_shot": by_commands, "watch": by_watch}
"""The ways in which the runs of a node are carried out. A test that is marked `watch_too` is run in each."""
