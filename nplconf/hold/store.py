"""What keeps the sockets when this process dies: systemd's file descriptor store.

An entry for each socket would stall PID 1 (15 s for 4,000 of them, at every start and daemon-reload). So it gets two
entries: the ends of one AF_UNIX pair, and all sockets are in flight in that pair, in batches. A process that starts
takes the batches one by one: it looks at the first (which gives it the sockets), sends a copy to the end of the queue,
and only then takes the first away. Whenever it is killed, each socket is in the queue at least once; twice does no
harm.
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
"""Sockets in a message; the kernel takes 253."""
SPARE_FILES = 2 * BATCH
"""What taking over needs for a moment: open files, and a copy in flight (the kernel counts it like open files)."""
FRAGMENTS = 16
"""How many messages beyond twice the fewest the queue may have, before small ones are joined."""
SOCKETS = b"sockets"
END = b"end "
QUEUE_BYTES = 4 << 20
"""What is asked for the queue; the kernel may give less, and 200 kB are enough for 40,000 sockets."""

Keep = Callable[[Sequence[int]], list[int]]
"""Of the fds that came back, those which are as they must be; it closes the others."""


class Store:
    """The queue, and what is in it, oldest first. Every method raises OSError when the queue is not to be used."""

    def __init__(self, tail: socket.socket, head: socket.socket) -> None:
        self._tail = tail
        self._head = head
        self._queue: deque[array[int]] = deque()
        for end in (tail, head):
            end.setblocking(False)

    @classmethod
    def new(cls) -> "Store":
        """An empty queue that systemd does not know yet."""
        tail, head = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tail.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_BYTES)
        return cls(tail, head)

    @classmethod
    def inherited(cls, fds: Sequence[int]) -> "Store | None":
        """The queue that systemd handed over; None, and all is closed, when these are not the two ends of one."""
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
        """Give the queue to systemd, which has none; False when it did not take it in time."""
        # a held socket polls POLLHUP, and so may an end: without FDPOLL=0 systemd would drop it as dead
        told = notify.notify("FDSTORE=1", f"FDNAME={NAME}", "FDPOLL=0", fds=[self._tail.fileno(), self._head.fileno()])
        return told and notify.barrier()

    def take_over(self, keep: Keep) -> None:
        """Give every socket of the queue to `keep`, and leave in the queue what it keeps."""
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
        """Put more sockets into the queue."""
        rest = iter(fds)
        while batch := list(itertools.islice(rest, BATCH)):
            self._send(batch)
        self._join()

    def close(self) -> None:
        """Let the ends go; systemd has its own."""
        self._tail.close()
        self._head.close()

    def _send(self, fds: Sequence[int]) -> None:
        if fds:
            batch = array("i", fds)
            self._tail.sendmsg([SOCKETS], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, batch.tobytes())])
            self._queue.append(batch)

    def _look(self) -> tuple[bytes, Sequence[int]]:
        """The first message, which stays. (`socket.recv_fds` of Python 3.11 ignores its flags.)"""
        space = socket.CMSG_SPACE(BATCH * array("i").itemsize)
        flags = socket.MSG_PEEK | socket.MSG_CMSG_CLOEXEC
        word, ancillary, told, _ = self._head.recvmsg(len(SOCKETS) + 16, space, flags)
        fds = array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        if not word or told & socket.MSG_CTRUNC:
            raise OSError("sockets came back incomplete: too many open files")
        return word, fds

    def _take(self) -> None:
        """Take the first message away; without room for its sockets the kernel closes them."""
        self._head.recvmsg(1)

    def _join(self) -> None:
        """Make few messages of many small ones, copy first: a turn of the whole queue."""
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
    """Have systemd let go what it kept."""
    notify.notify("FDSTOREREMOVE=1", f"FDNAME={NAME}")
    notify.barrier()


def _end(fd: int) -> socket.socket | None:
    """An end of a SEQPACKET pair, None (and closed) when it is something else."""
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
    """True when a message waits at this end: it is the head."""
    try:
        return bool(end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
