"""Commands of nplconf by fork from a process that has imported it: without the 70 % of a short command that Python's
start takes.

    with Popen(["verify"], space="node", stdout=PIPE, text=True) as command: ...

Such a command is a process of its own in all that a test can see, but for its parent and `/proc/PID/cmdline`. Start a
real one (`[sys.executable, "-m", "nplconf", ...]`) where a test is about the start, memory, time or imports of a
process. Each process of pytest has two servers (`preloadserver.py`) and asks them in turn: their hash seeds differ, so
that two runs still differ if their result depends on the order of a set.
"""

import atexit
import itertools
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent
SERVER = Path(__file__).with_name("preloadserver.py")
SERVERS = 2
Mount = tuple[str, str, str, str]
"""Source, target, type ("": a bind mount) and options."""
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_", "TZ")
_HOME = os.open("/proc/self/ns/net", os.O_RDONLY)
_servers: list[socket.socket] = []
_turns = itertools.count()
_starting = threading.Lock()


class Popen(subprocess.Popen[Any]):
    """`subprocess.Popen` for a command line of nplconf.

    Args:
        argv: The command and its arguments; or a program of the tests in Python, with its arguments.
        space: A network namespace, entered as `ip netns exec` does. None: that of the calling thread.
        mounts: Made in the command's mount namespace, which one with a space has.
        how: Of Popen: stdin, stdout, stderr, text, env.
    """

    def __init__(
        self,
        argv: Sequence[str],
        space: str | None = None,
        mounts: Sequence[Mount] = (),
        **how: Any,
    ) -> None:
        self._space, self._mounts = space, mounts
        self._answer: IO[bytes]
        super().__init__(list(argv), **how)

    def _execute_child(self, argv: list[str], *how: Any) -> None:
        """Have the server fork, in place of a fork and an exec here. how: as Popen passes it."""
        cwd, environment = how[4], dict(os.environ if how[5] is None else how[5])
        pipes: tuple[int, ...] = how[9:15]
        streams = [given if given >= 0 else own for own, given in enumerate((pipes[0], pipes[3], pipes[5]))]
        request = {
            "argv": argv,
            "environment": environment,
            "directory": str(cwd or Path.cwd()),
            "path": environment.get("PYTHONPATH", "").split(":"),
            "mounts": None if self._space is None else list(self._mounts),
        }
        space = f"/run/netns/{self._space}" if self._space else "/proc/thread-self/ns/net"
        answer, theirs = socket.socketpair()
        with answer, theirs, Path(space).open("rb") as there:
            message, handles = json.dumps(request).encode(), [*streams, theirs.fileno(), there.fileno()]
            socket.send_fds(_server(environment), [message], handles)
            self._answer = answer.makefile("rb")
        self.pid = int(self._answer.readline())
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, *_how: Any, **_more: Any) -> int | None:
        if self.returncode is None and select.select([self._answer], [], [], 0)[0]:
            self._end()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            if not select.select([self._answer], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._end()
        return self.returncode

    def _end(self) -> None:
        self.returncode = int(self._answer.readline())
        self._answer.close()


def run(argv: Sequence[str], *, text: str = "", timeout: float, **how: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command line of nplconf to its end, as `subprocess.run` with captured output. how: of `Popen`."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with Popen(argv, text=True, **pipes, **how) as command:
        try:
            stdout, stderr = command.communicate(text, timeout)
        except BaseException:
            command.kill()
            raise
    return subprocess.CompletedProcess(command.args, command.returncode, stdout, stderr)


def _server(environment: Mapping[str, str]) -> socket.socket:
    """Return the server whose turn it is. Raises AssertionError where Python would start in another way than it did."""
    with _starting:
        if len(_servers) < SERVERS:
            _servers.append(_start())
        assert _at_start(environment) == _at_start(os.environ), "start a real process with this environment"
        return _servers[next(_turns) % SERVERS]


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(_READ_AT_START) and k != "PYTHONPATH"}


def _start() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        handles = (theirs.fileno(), _HOME)
        server = subprocess.Popen(
            [sys.executable, str(SERVER), *map(str, handles)],
            pass_fds=handles,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    atexit.register(_stop, server, ours)
    return ours


def _stop(server: "subprocess.Popen[bytes]", ours: socket.socket) -> None:
    ours.close()
    server.wait()
