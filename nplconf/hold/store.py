"""Keep the sockets open when this process ends: systemd's file descriptor store.

An entry for each socket would block PID 1 (15 s for 4,000 of them, at every start and daemon-reload). So the store gets
two entries: the ends of one AF_UNIX pair. All sockets are in flight in that pair, in batches. A new process takes over
the batches one by one: it peeks at the first (which gives it the sockets), sends a copy to the end of the queue, and
only then removes the first. If it is killed at any moment, each socket is in the queue at least once. A duplicate does
no harm.
"""

import itertools
import os
import socket
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from nplconf.hold import notify

NAME = "nplconf-range"
"""The name of both entries (FDNAME=)."""
BATCH = 250
"""Sockets per message. The kernel accepts 253."""
SPARE_FILES = 2 * BATCH
"""Temporarily needed while batches are taken over: open files, and a copy in flight (which counts as open files)."""
FRAGMENTS = 16
"""The queue may have twice the fewest messages and this many more, before small messages are joined."""
SOCKETS = b"sockets"
END = b"end "
QUEUE_BYTES = 4 << 20
"""The requested size of the queue. The kernel may give less; 200 kB are enough for 40,000 sockets."""

Keep = Callable[[Sequence[int]], list[int]]
"""Takes returned fds, closes the invalid ones, and returns the others."""


class Store:
    """The queue, and its batches, oldest first. Every method raises OSError if the queue cannot be used."""

    def __init__(self, tail: socket.socket, head: socket.socket) -> None:
        self._tail = tail
        self._head = head
        self._queue: deque[array[int]] = deque()
        for end in (tail, head):
            end.setblocking(False)

    @classmethod
    def new(cls) -> "Store":
        """Return an empty queue that systemd does not have yet."""
        tail, head = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tail.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_BYTES)
        return cls(tail, head)

    @classmethod
    def inherited(cls, fds: Sequence[int]) -> "Store | None":
        """Return the queue that systemd passed. If the fds are not the two ends of one, close them and return None."""
        ends = [end for end in map(_end, fds) if end]
        if len(ends) == len(fds) == 2:
            ends.sort(key=_has_something)
            return cls(*ends)
        for end in ends:
            end.close()
        return None

    @property
    def ends(self) -> tuple[socket.socket, socket.socket]:
        """The tail and the head of the queue."""
        return self._tail, self._head

    def entrust(self) -> bool:
        """Give the queue to systemd. Return False if it did not take it in time."""
        # poll() reports POLLHUP for a bound socket, and maybe for an end: without FDPOLL=0 systemd would drop it
        sent = notify.notify("FDSTORE=1", f"FDNAME={NAME}", "FDPOLL=0", fds=[self._tail.fileno(), self._head.fileno()])
        return sent and notify.barrier()

    def take_over(self, keep: Keep) -> None:
        """Pass every socket of the queue to `keep`. Those that it returns stay in the queue."""
        end = END + os.urandom(8)
        self._tail.send(end)
        while True:
            word, fds = self._look()
            if word == end:
                self._take()
                break
            if word == SOCKETS:
                self._send(keep(fds))
            self._take()
        self._join()

    def add(self, fds: Iterable[int]) -> None:
        """Add sockets to the queue."""
        rest = iter(fds)
        while batch := list(itertools.islice(rest, BATCH)):
            self._send(batch)
        self._join()

    def close(self) -> None:
        """Close the ends in this process. systemd has its own copies."""
        self._tail.close()
        self._head.close()

    def _send(self, fds: Sequence[int]) -> None:
        if fds:
            batch = array("i", fds)
            self._tail.sendmsg([SOCKETS], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, batch.tobytes())])
            self._queue.append(batch)

    def _look(self) -> tuple[bytes, Sequence[int]]:
        """Return the first message without removing it. (`socket.recv_fds` of Python 3.11 ignores its flags.)"""
        space = socket.CMSG_SPACE(BATCH * array("i").itemsize)
        flags = socket.MSG_PEEK | socket.MSG_CMSG_CLOEXEC
        word, ancillary, received, _ = self._head.recvmsg(len(SOCKETS) + 16, space, flags)
        fds = array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        if not word or received & socket.MSG_CTRUNC:
            raise OSError("sockets came back incomplete: too many open files")
        return word, fds

    def _take(self) -> None:
        """Remove the first message. There is no room for its sockets, so the kernel closes them."""
        self._head.recvmsg(1)

    def _join(self) -> None:
        """Join small messages: copy the whole queue once, each new message before its parts are removed."""
        fewest = -(-sum(map(len, self._queue)) // BATCH)
        if len(self._queue) <= 2 * fewest + FRAGMENTS:
            return
        old = len(self._queue)
        while old:
            joined = array("i")
            parts = 0
            while parts < old and len(joined) + len(self._queue[parts]) <= BATCH:
                joined += self._queue[parts]
                parts += 1
            self._send(joined)
            for _ in range(parts):
                self._take()
                self._queue.popleft()
            old -= parts


def forget() -> None:
    """Make systemd close its copies."""
    notify.notify("FDSTOREREMOVE=1", f"FDNAME={NAME}")
    notify.barrier()


def _end(fd: int) -> socket.socket | None:
    """Return an end of a SEQPACKET pair. Close anything else and return None."""
    try:
        end = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        return None
    if (end.family, end.type) == (socket.AF_UNIX, socket.SOCK_SEQPACKET):
        return end
    end.close()
    return None


def _has_something(end: socket.socket) -> bool:
    """Return whether a message waits at this end: then it is the head."""
    try:
        return bool(end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
