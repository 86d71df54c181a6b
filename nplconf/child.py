"""The end of a child process that may still run."""

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess


def end(child: "subprocess.Popen[Any]") -> None:
    """Kill a child with its process group unless it was waited for, and close its streams. It leads a group of its own.

    This is not `Popen.kill` and `Popen.wait`: both lock the object. The error of a signal handler between two
    instructions of `Popen.wait` leaves that lock locked, and the next `Popen.wait` would never return.
    """
    if child.returncode is None:  # not waited for, so that the process id is still its own
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # an error came before `Popen.wait` stored the exit code
            os.waitpid(child.pid, 0)
        child.returncode = -signal.SIGKILL
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            stream.close()
