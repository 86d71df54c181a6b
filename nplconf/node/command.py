"""Child processes: programs from fixed directories, a clean environment, a deadline, and one process group to kill."""

import contextlib
import os
import select
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, cast

from nplconf.child import end
from nplconf.deadline import LOOK, current
from nplconf.errors import UnavailableError
from nplconf.interpreter import SAFE_DIRECTORY
from nplconf.node import packages

PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
ENVIRONMENT = {"PATH": ":".join(PATH), "LC_ALL": "C"}
OUTPUT_LIMIT = 1 << 28
"""Bytes. iptables-save of 56,000 rules prints a thirtieth of it."""
CHUNK = 1 << 16
PR_SET_PDEATHSIG = 1
children: deque[int] = deque(maxlen=256)
"""The process ids of the last programs that were started. The kernel names them in notifications of changed rules."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The result of a child that exited by itself.

    Attributes:
        code: The exit code.
        text: What it wrote to stdout.
        errors: What it wrote to stderr.
    """

    code: int
    text: str
    errors: str

    @property
    def complaint(self) -> str:
        """Its stderr on one line, at most 500 characters; without stderr its exit code."""
        return " ".join(self.errors.split())[:500] or f"exit code {self.code}"


def find(program: str) -> str | None:
    """Return the path of a program, None if it is not installed. A path is returned unchanged if it is executable."""
    if "/" in program:
        return program if os.access(program, os.X_OK) else None
    return next((path for where in PATH if os.access(path := f"{where}/{program}", os.X_OK)), None)


def located(program: str) -> str:
    """Return the path of a program.

    Raises:
        UnavailableError: It is not installed. The message has the command that installs it.
    """
    path = find(program)
    if path is None:
        raise UnavailableError(f"{program} is not installed: {packages.installation(find, program)}")
    return path


def run(program: str, *arguments: str, text: str = "", deadline: float, bound: bool = False) -> Completed:
    """Run a program to its end.

    Args:
        program: A name or a path.
        arguments: Its arguments.
        text: What it reads from stdin.
        deadline: Seconds, at most those that the run has left. Then its process group is killed.
        bound: Kill the child when this process dies.

    Raises:
        UnavailableError: It is not installed, cannot start, exceeds the deadline, or prints more than
            `OUTPUT_LIMIT`.
    """
    path = located(program)
    seconds = current().left(deadline)
    if not seconds:
        raise UnavailableError(f"{path}: not started, as the time of this run is over")
    try:
        child = subprocess.Popen(
            (path, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=ENVIRONMENT,
            start_new_session=True,
            cwd=SAFE_DIRECTORY,
            preexec_fn=_bound() if bound else None,  # noqa: PLW1509 a run has only one thread
        )
    except OSError as err:
        raise UnavailableError(f"{path}: cannot be started: {err.strerror}") from err
    children.append(child.pid)
    until = time.monotonic() + seconds
    try:
        out, errors = _exchange(child, text.encode(), lambda: current().left(max(0.0, until - time.monotonic())))
    except TimeoutError:
        raise UnavailableError(f"{path}: no answer within {seconds:.0f} s; it was ended") from None
    except OverflowError:
        raise UnavailableError(f"{path}: prints without end; it was ended") from None
    finally:
        end(child)
    return Completed(child.returncode, out.decode(errors="replace"), errors.decode(errors="replace"))


def _bound() -> Callable[[], None] | None:
    """Return the function that makes a child die with this process; None where libc has no prctl.

    Without it, a child that waits for iptables' lock could write after the next run has read the rules.
    """
    import ctypes

    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    parent = os.getpid()

    def end_with_parent() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # this process died before prctl took effect
            os.kill(os.getpid(), signal.SIGKILL)

    return end_with_parent


def _exchange(child: "subprocess.Popen[bytes]", text: bytes, left: Callable[[], float]) -> tuple[bytes, bytes]:
    """Write to a child's stdin and return its stdout and stderr. Raises TimeoutError, OverflowError (`OUTPUT_LIMIT`).

    Args:
        child: The process.
        text: What is written to its stdin.
        left: Returns the remaining seconds. Called repeatedly, since a stopping run has fewer.
    """
    rest, heard = memoryview(text), {child.stdout: bytearray(), child.stderr: bytearray()}
    with selectors.DefaultSelector() as ready:
        ready.register(cast("IO[bytes]", child.stdin), selectors.EVENT_WRITE)
        for stream in heard:
            ready.register(cast("IO[bytes]", stream), selectors.EVENT_READ)
        while ready.get_map():
            if not (events := ready.select(min(left(), LOOK))) and not left():
                raise TimeoutError
            for key, _ in events:
                stream = cast("IO[bytes]", key.fileobj)
                if stream is child.stdin:
                    rest, done = _feed(key.fd, rest)
                else:
                    chunk = os.read(key.fd, CHUNK)
                    heard[stream] += chunk
                    done = not chunk
                if sum(map(len, heard.values())) > OUTPUT_LIMIT:
                    raise OverflowError
                if done:
                    ready.unregister(stream)
                    stream.close()
    _await(child, left)
    return bytes(heard[child.stdout]), bytes(heard[child.stderr])


def _await(child: "subprocess.Popen[bytes]", left: Callable[[], float]) -> None:
    """Wait for the end of a child that has closed its output. Raises TimeoutError."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(min(left(), LOOK))
            return
        if not left():
            raise TimeoutError


def _feed(handle: int, rest: memoryview) -> tuple[memoryview, bool]:
    """Write the next part. Return what remains, and whether to close stdin: all is written, or the child closed it."""
    try:
        rest = rest[os.write(handle, rest[: select.PIPE_BUF]) :]
    except BrokenPipeError:
        return rest[:0], True
    return rest, not rest
