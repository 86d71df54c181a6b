"""The handover from one keeper to the next: what is handed over, and how it is requested. Used by both ends.

The request is `handover 1` (1 is the version), at the daemon's path with `.keeper` appended. The response is one word
with file descriptors (SCM_RIGHTS): the two listening sockets, both ends of the queue, and the connections to all
predecessors. The connection stays open as long as the successor runs.
"""

import socket
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from nplconf.errors import BadConfigError, BusyError, NplconfError
from nplconf.hold import listener as entrance
from nplconf.hold.sockets import namespace_of
from nplconf.hold.store import Store

SUFFIX = ".keeper"
"""Appended to the daemon's path, it gives the path of the keeper's own socket."""
QUESTION = b"handover 1\n"
ANSWER = b"handover"
PATIENCE = 10.0
"""Seconds for a predecessor to hand over."""
MOST_LEASES = 16


class Goods(NamedTuple):
    """The sockets that are handed over.

    Attributes:
        leases: Connections to all predecessors. They close when the last process that has them ends.
    """

    listener: socket.socket
    entrance: socket.socket
    tail: socket.socket
    head: socket.socket
    leases: tuple[socket.socket, ...] = ()

    def all(self) -> tuple[socket.socket, ...]:
        """Return every socket, leases last."""
        return (*self[:4], *self.leases)

    @property
    def has_predecessor(self) -> bool:
        """Return whether a predecessor runs that would resume if this process ended."""
        return any(map(_is_open, self.leases))

    def close(self) -> None:
        """Close every socket in this process."""
        for sock in self.all():
            sock.close()


def ask(path: str) -> Goods | None:
    """Return what the keeper at a path hands over; None if no keeper runs there."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(PATIENCE)
        sock.connect(path)
        sock.sendall(QUESTION)
        word, fds = _received(sock)
    except (FileNotFoundError, ConnectionError):
        sock.close()
        return None
    except TimeoutError as error:
        sock.close()
        raise BusyError(f"the keeper at {path} does not hand over. Fix: end that process") from error
    received = [socket.socket(fileno=fd) for fd in fds]
    if word != ANSWER or len(received) < len(Goods._fields) - 1:
        for one in (sock, *received):
            one.close()
        return None  # it ended after the connect
    listener, own, tail, head, *leases = received
    goods = Goods(listener, own, tail, head, (sock, *leases))
    _require_same_network(goods, path)
    return goods


def _require_same_network(goods: Goods, path: str) -> None:
    """Raise BadConfigError if the sockets belong to another network namespace: the daemon would refuse all of them."""
    with socket.socket(socket.AF_UNIX) as own:
        if namespace_of(own) == namespace_of(goods.listener):
            return
    goods.close()
    raise BadConfigError(f"the keeper at {path} is in another network namespace. Fix: hostNetwork: true in the Pod")


def new(socket_path: str) -> Goods:
    """Return new sockets, for a keeper without a predecessor. Raises as `listener.listen`."""
    listener, made = entrance.listen(socket_path)
    try:
        own, _ = entrance.listen(socket_path + SUFFIX)
    except NplconfError:
        listener.close()
        entrance.remove(socket_path, made)
        raise
    return Goods(listener, own, *Store.new().ends)


def send(sock: socket.socket, goods: Goods) -> None:
    """Answer a request. Raises OSError."""
    fds = array("i", [one.fileno() for one in goods.all()])
    sock.sendmsg([ANSWER], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds.tobytes())])


def _received(sock: socket.socket) -> tuple[bytes, Sequence[int]]:
    fds = array("i")
    space = socket.CMSG_SPACE((len(Goods._fields) + MOST_LEASES) * fds.itemsize)
    word, ancillary, _, _ = sock.recvmsg(len(ANSWER), space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return word, fds


def _is_open(lease: socket.socket) -> bool:
    """Return whether the other end is open. It sends nothing."""
    lease.setblocking(False)
    try:
        return bool(lease.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False
