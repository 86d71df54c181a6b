"""A network namespace with a hold daemon, and foreign programs in it."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nplconf.hold.client import ask
from nplconf.model import Holds, PortRange

ROOT = Path(__file__).parent.parent
DAEMON = """
import sys
from nplconf.errors import NplconfError
from nplconf.hold.daemon import main
from nplconf.model import PortRange
try:
    sys.exit(main(PortRange(int(sys.argv[1]), int(sys.argv[2])), sys.argv[3]))
except NplconfError as error:
    sys.exit(sys.stderr.write(f"{error}\\n") and error.exit_code)
"""
_numbers = itertools.count()


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    """The name of a network namespace of its own, with lo up; it goes with all that runs in it."""
    name = f"nplhold{os.getpid()}-{next(_numbers)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
        for pid in pids.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", name], check=False)


def command(space: str, code: str, *arguments: object) -> list[str]:
    """The command line that runs Python code in the namespace."""
    return ["ip", "netns", "exec", space, sys.executable, "-c", code, *map(str, arguments)]


def bindable(space: str, ports: PortRange) -> set[int]:
    """The ports of a range that a program in the namespace could bind, by TCP or by UDP."""
    return {int(port) for port in python(space, _BINDABLE, ports.first, ports.last).split()}


_BINDABLE = """
import socket, sys
for port in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind(("0.0.0.0", port))
            except OSError:
                continue
            print(port)
"""


def python(space: str, code: str, *arguments: object) -> str:
    """What the code prints there."""
    run = subprocess.run(command(space, code, *arguments), capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@contextlib.contextmanager
def running(space: str, code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A program there that has printed its first line ("ready"), and is killed at the end."""
    program = subprocess.Popen(
        command(space, code, *arguments), stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        yield program
    finally:
        program.kill()
        program.communicate()


@dataclass
class Daemon:
    """A hold daemon in a namespace."""

    space: str
    path: str
    port_range: PortRange
    process: subprocess.Popen[str]

    def ask(self, port_range: PortRange | None = None) -> Holds:
        """Its answer for its own range."""
        return ask(self.path, port_range or self.port_range)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(10)


def start(space: str, path: str, port_range: PortRange) -> Daemon:
    """A daemon that may not be ready yet."""
    arguments = command(space, DAEMON, port_range.first, port_range.last, path)
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    return Daemon(space, path, port_range, process)


@contextlib.contextmanager
def daemon(space: str, path: str, port_range: PortRange) -> Iterator[Daemon]:
    """A daemon that answers."""
    one = start(space, path, port_range)
    try:
        until = time.monotonic() + 60  # one that finds all its ports taken needs 10 s on a busy machine
        while not ask(path, port_range).available:
            assert one.process.poll() is None, one.process.stderr and one.process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)
        yield one
    finally:
        one.process.kill()
        one.process.communicate()
