"""Child processes: found at fixed places, with a clean environment and a deadline, and ended as a group."""

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass

from nplconf.errors import UnavailableError

PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
ENVIRONMENT = {"PATH": ":".join(PATH), "LC_ALL": "C"}
PACKAGES = {"conntrack": "conntrack", "systemctl": "systemd", "userdel": "passwd", "groupdel": "passwd"}
"""Debian's packages of what is not in iptables'."""
OUTPUT_LIMIT = 1 << 30
"""Bytes; a save of the largest table known is a tenth of it."""


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
    """Where a program is; None when it is not installed."""
    return next((path for where in PATH if os.access(path := f"{where}/{program}", os.X_OK)), None)


def run(program: str, *arguments: str, text: str = "", deadline: float) -> Completed:
    """Run a program to its end, its stdin being text.

    deadline: seconds; then its whole process group is killed. Raises UnavailableError when it is not installed, cannot
    be started, or has not ended in time.
    """
    path = find(program)
    if path is None:
        raise UnavailableError(f"{program} is not installed: apt-get install {_package(program)}")
    try:
        child = subprocess.Popen(
            (path, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
            cwd="/",
        )
    except OSError as err:
        raise UnavailableError(f"{path}: cannot be started: {err.strerror}") from err
    try:
        out, errors = child.communicate(text.encode(), timeout=deadline)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{path}: no answer within {deadline:.0f} s; it was ended") from None
    finally:
        _end(child)
    return Completed(child.returncode, out.decode(errors="replace"), errors.decode(errors="replace"))


def _end(child: "subprocess.Popen[bytes]") -> None:
    # The group outlives its leader where that left children behind; an empty group is gone already.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            stream.close()


def _package(program: str) -> str:
    return PACKAGES.get(program, "iptables")
