"""The few lines of systemd's protocols: sd_notify, with file descriptors, and socket activation."""

import os
import select
import socket
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

FIRST_FD = 3
"""Where the file descriptors begin that systemd hands over."""
BARRIER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Inherited:
    """What systemd handed over: file descriptors with their names."""

    fds: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    def named(self, name: str) -> tuple[int, ...]:
        """The fds of this name, in the order they came."""
        return tuple(fd for fd, its_name in zip(self.fds, self.names, strict=True) if its_name == name)


def inherited() -> Inherited:
    """The fds that are meant for this process; the environment forgets them, so that no child believes it has them."""
    environment = {name: os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    count = environment["LISTEN_FDS"]
    if environment["LISTEN_PID"] != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return Inherited()
    fds = tuple(range(FIRST_FD, FIRST_FD + int(count)))
    for fd in fds:
        os.set_inheritable(fd, False)
    names = environment["LISTEN_FDNAMES"].split(":") if environment["LISTEN_FDNAMES"] else []
    return Inherited(fds, tuple((names + [""] * len(fds))[: len(fds)]))


def listens(fd: int) -> bool:
    """True for a listening stream socket of the Unix family."""
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            is_stream = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM
            return is_stream and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError:
        return False


def supervised() -> bool:
    """True when somebody wants to be notified."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(*lines: str, fds: Sequence[int] = ()) -> bool:
    """Tell systemd; False when there is none, or it cannot be reached (which must not stop a daemon)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds).tobytes())] if fds else []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            sock.sendmsg(["\n".join(lines).encode()], rights)
    except OSError:
        return False
    return True


def barrier() -> bool:
    """Wait until systemd has read all that was told before; False when it did not in time."""
    ours, theirs = os.pipe()
    try:
        sent = notify("BARRIER=1", fds=[theirs])
    finally:
        os.close(theirs)
    try:
        poll = select.poll()
        poll.register(ours, 0)  # POLLHUP is always told
        return sent and bool(poll.poll(BARRIER_SECONDS * 1000))
    finally:
        os.close(ours)
