"""The parts of systemd's protocols that are needed: sd_notify, with file descriptors, and socket activation."""

import os
import select
import socket
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

FIRST_FD = 3
"""The number of the first file descriptor that systemd passes."""
BARRIER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Inherited:
    """The file descriptors that systemd passed, with their names."""

    fds: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    def named(self, name: str) -> tuple[int, ...]:
        """Return the file descriptors with a name, in the order they came."""
        return tuple(fd for fd, its_name in zip(self.fds, self.names, strict=True) if its_name == name)


def inherited() -> Inherited:
    """Return the file descriptors for this process. Delete the variables, so that no child uses them."""
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
    """Return whether a file descriptor is a listening stream socket of the Unix family."""
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            is_stream = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM
            return is_stream and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError:
        return False


def supervised() -> bool:
    """Return whether a service manager wants notifications."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(*lines: str, fds: Sequence[int] = ()) -> bool:
    """Send a notification to systemd. Return False if systemd is missing or unreachable, which is no error."""
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
    """Wait until systemd has read all earlier notifications. Return False after the deadline."""
    reader, writer = os.pipe()
    try:
        sent = notify("BARRIER=1", fds=[writer])
    finally:
        os.close(writer)
    try:
        poll = select.poll()
        poll.register(reader, 0)  # POLLHUP is always reported
        return sent and bool(poll.poll(BARRIER_SECONDS * 1000))
    finally:
        os.close(reader)
