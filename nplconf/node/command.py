"""Child processes: found at fixed places, with a clean environment and a deadline, and ended as a group."""

import contextlib
import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, cast

from nplconf.deadline import LOOK, current
from nplconf.errors import UnavailableError
from nplconf.interpreter import SAFE_DIRECTORY
from nplconf.node import packages

PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
ENVIRONMENT = {"PATH": ":".join(PATH), "LC_ALL": "C"}
OUTPUT_LIMIT = 1 << 28
"""Bytes; a save of 56,000 rules has a thirtieth of it."""
CHUNK = 1 << 16
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Completed:
    """A child that ended by itself. text and errors are its stdout and stderr."""

    code: int
    text: str
    errors: str

    @property
    def complaint(self) -> str:
        """Its stderr on one line, or its exit code."""
        return " ".join(self.errors.split())[:500] or f"exit code {self.code}"


def find(program: str) -> str | None:
    """Where a program is; None when it is not installed. A path stands for itself."""
    if "/" in program:
        return program if os.access(program, os.X_OK) else None
    return next((path for where in PATH if os.access(path := f"{where}/{program}", os.X_OK)), None)


def located(program: str) -> str:
    """Where a program is. Raises UnavailableError, which says what to install."""
    path = find(program)
    if path is None:
        raise UnavailableError(f"{program} is not installed: {packages.installation(find, program)}")
    return path


def run(program: str, *arguments: str, text: str = "", deadline: float, bound: bool = False) -> Completed:
    """Run a program to its end, its stdin being text.

    deadline: seconds, at most those that the run has left; then its whole process group is killed. bound: it is killed
    when we are. Raises UnavailableError when it is not installed, cannot be started, has not ended in time, or prints
    without end.
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
            preexec_fn=_bound() if bound else None,  # noqa: PLW1509 a run has one thread
        )
    except OSError as err:
        raise UnavailableError(f"{path}: cannot be started: {err.strerror}") from err
    end = time.monotonic() + seconds
    try:
        out, errors = _exchange(child, text.encode(), lambda: current().left(max(0.0, end - time.monotonic())))
    except TimeoutError:
        raise UnavailableError(f"{path}: no answer within {seconds:.0f} s; it was ended") from None
    except OverflowError:
        raise UnavailableError(f"{path}: prints without end; it was ended") from None
    finally:
        _end(child)
    return Completed(child.returncode, out.decode(errors="replace"), errors.decode(errors="replace"))


def _bound() -> Callable[[], None] | None:
    """What a child does before it becomes its program, so that it ends with us; None where the system has no such call.

    What waits for iptables' lock while we are killed would else write after the next run has looked, and left.
    """
    import ctypes

    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    parent = os.getpid()

    def end_with_parent() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # killed before that
            os.kill(os.getpid(), signal.SIGKILL)

    return end_with_parent


def _exchange(child: "subprocess.Popen[bytes]", text: bytes, left: Callable[[], float]) -> tuple[bytes, bytes]:
    """Feed a child and hear it out: its stdout and stderr. Raises TimeoutError, OverflowError (OUTPUT_LIMIT).

    left: returns the seconds that remain. A run that is asked to end has fewer, so it is called again and again.
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
    try:
        child.wait(left())
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return bytes(heard[child.stdout]), bytes(heard[child.stderr])


def _feed(handle: int, rest: memoryview) -> tuple[memoryview, bool]:
    """What is still to be written, and whether that is nothing: written, or nobody reads it."""
    try:
        rest = rest[os.write(handle, rest[: select.PIPE_BUF]) :]
    except BrokenPipeError:
        return rest[:0], True
    return rest, not rest


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.returncode is None:  # its number cannot be another's yet; what it started itself goes with it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            stream.close()
