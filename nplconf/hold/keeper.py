"""Keep the sockets without systemd, as in a container: `nplconf hold --keep`.

The keeper is a parent process. It starts the daemon, restarts it when it ends, and owns what must outlive it: the
listening socket, and both ends of the queue in which all held sockets are in flight (`store`). These are three file
descriptors, whatever the range. The daemon is a fork, so a restart needs no new interpreter.

A keeper that starts beside another one, as in a rolling update with `maxSurge`, asks it at `SOCKET.keeper` to hand
over. The predecessor ends its daemon, sends its file descriptors (SCM_RIGHTS), and keeps its own copies until it is
stopped. So each port is held by one of the two at every moment. The open connection proves that the successor runs:
when it closes, the predecessor starts its daemon again. A successor of the successor gets the connections to all
predecessors, so that none of them resumes when the one in the middle ends.

Measured with 2,002 sockets on two busy cores: a killed daemon loses nothing, and the next one answers after 0.05 s. A
handover takes 0.45 s, with the start of the new interpreter. Keeper and daemon need 11 MB together. If the keeper is
killed, its container ends, and the range is free until the kubelet has started the container again. Therefore the
keeper does as little as possible: it has ten open files, reads one word, and waits.

Rejected: a copy of the queue in the `watch` container (two programs must then agree which one owns it), and a handover
between daemons without a keeper (a crash of the daemon would release every port).
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Collection, Iterator
from typing import NamedTuple

from nplconf.errors import NplconfError
from nplconf.hold import daemon, handover, store
from nplconf.hold.handover import Goods
from nplconf.hold.notify import Inherited
from nplconf.hold.store import Store
from nplconf.model import USUAL_PROTOCOLS, PortRange, Protocol

PATIENCE = 10.0
"""Seconds for a successor to ask, and for a daemon to end."""
RESTART_SECONDS = 0.5
"""Seconds before a daemon that ended before it was ready is restarted."""
TRIES = 3
"""After so many daemons in a row that ended before they were ready, a new queue is made: nothing else can differ."""


class Child(NamedTuple):
    """The daemon process. lifeline: receives `READY`, and closes when the keeper or the daemon ends."""

    pid: int
    lifeline: socket.socket


def main(
    port_range: PortRange,
    socket_path: str,
    ready_file: str | None = None,
    protocols: Collection[Protocol] = USUAL_PROTOCOLS,
) -> int:
    """Keep a daemon running until SIGTERM or SIGINT. Return the exit code.

    Args:
        port_range: The ports that the daemon holds.
        socket_path: Where the daemon listens.
        ready_file: This file exists while the daemon of this keeper answers.
        protocols: The protocols whose sockets the daemon holds.

    Raises:
        BusyError: A predecessor runs and does not hand over.
        BadConfigError: The path is unusable, or a predecessor is in another network namespace.
        PermissionDeniedError: The path is not writable.
    """
    with daemon.stop_signals() as stop:
        keeper = Keeper(port_range, socket_path, ready_file, protocols)
        try:
            return keeper.run(stop)
        finally:
            keeper.end()


class Keeper:
    """One daemon, and the sockets that outlive it."""

    def __init__(
        self, port_range: PortRange, socket_path: str, ready_file: str | None, protocols: Collection[Protocol]
    ) -> None:
        """Take the sockets over from a predecessor, or make new ones."""
        self._range = port_range
        self._protocols = protocols
        self._path = socket_path
        self._ready_file = ready_file
        self._say_ready(ready=False)
        self._goods = handover.ask(socket_path + handover.SUFFIX) or handover.new(socket_path)
        self._child: Child | None = None
        self._successor: socket.socket | None = None
        self._proven = False
        self._failed = 0

    def run(self, stop: socket.socket) -> int:
        """Serve until `stop` is readable, or the first daemon could not become ready. Return the exit code."""
        self._start()
        while True:
            ready, _, _ = select.select([stop, *self._watched()], [], [])
            if stop in ready:
                return 0
            if self._successor in ready:
                self._watch_successor()
            elif self._child and self._child.lifeline in ready:
                code = self._watch_child(self._child)
                if code is not None and not self._proven:
                    return code or 1
            elif self._goods.entrance in ready:
                self._hand_over()

    def end(self) -> None:
        """End the daemon. Remove the socket files unless a successor uses them or a predecessor is about to."""
        self._stop_child()
        if not self._successor and not self._goods.has_predecessor:
            for path in (self._path, self._path + handover.SUFFIX):
                with contextlib.suppress(OSError):
                    os.unlink(path)  # noqa: PTH108 -- as in listener
        self._goods.close()

    def _watched(self) -> list[socket.socket]:
        if self._successor:
            return [self._successor]
        return [self._goods.entrance, *([self._child.lifeline] if self._child else [])]

    # --- the daemon

    def _start(self) -> None:
        reader, writer = socket.socketpair()
        # blocked: a signal to the child must not run the handlers that it inherits from the parent
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        pid = os.fork()
        if not pid:
            reader.close()
            self._be_daemon(writer, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        writer.close()
        self._child = Child(pid, reader)

    def _be_daemon(self, lifeline: socket.socket, mask: set[int | signal.Signals]) -> None:
        """Run the daemon in the child process. Never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for sock in (self._goods.entrance, *self._goods.leases):
                sock.close()
            fds = tuple(sock.detach() for sock in self._goods[:1] + self._goods[2:4])
            given = daemon.FromKeeper(Inherited(fds, ("", store.NAME, store.NAME)), lifeline)
            code = daemon.main(self._range, self._path, given, self._protocols)
        except NplconfError as error:
            daemon.log(str(error))
            code = error.exit_code
        except Exception as error:  # noqa: BLE001 the keeper starts another one
            daemon.log(f"unexpected {type(error).__name__}: {error}")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _watch_child(self, child: Child) -> int | None:
        """Note that the daemon is ready. If it has ended, start another one and return the exit code."""
        if _received(child.lifeline):
            self._proven, self._failed = True, 0
            self._say_ready(ready=True)
            return None
        was_ready = self._answers
        code = self._stop_child()
        if not self._proven:
            return code
        if not was_ready:
            self._failed += 1
            time.sleep(RESTART_SECONDS)
        daemon.log(f"the daemon ended ({_reason(code)}); the sockets stay held, another one starts")
        if self._failed >= TRIES:
            self._give_up_queue()
        self._start()
        return code

    def _give_up_queue(self) -> None:
        daemon.log(f"{TRIES} daemons ended before they were ready: the sockets are released and bound anew")
        self._goods.tail.close()
        self._goods.head.close()
        self._goods = Goods(self._goods.listener, self._goods.entrance, *Store.new().ends, self._goods.leases)
        self._failed = 0

    def _stop_child(self) -> int:
        """End the daemon if it runs. Return its exit code."""
        if not self._child:
            return 0
        pid, lifeline = self._child
        self._child = None
        self._say_ready(ready=False)
        lifeline.close()
        return _ended(pid)

    def _say_ready(self, *, ready: bool) -> None:
        self._answers = ready
        if not self._ready_file:
            return
        with contextlib.suppress(FileNotFoundError):
            if ready:
                os.close(os.open(self._ready_file, os.O_CREAT | os.O_WRONLY, 0o600))
            else:
                os.unlink(self._ready_file)  # noqa: PTH108 -- as in listener

    # --- the successor

    def _hand_over(self) -> None:
        """Send all file descriptors to the process that asks. Copies stay open here."""
        with contextlib.ExitStack() as undo:
            try:
                sock = undo.enter_context(self._goods.entrance.accept()[0])
                sock.settimeout(PATIENCE)
                if not daemon.is_trusted(sock) or sock.recv(len(handover.QUESTION)) != handover.QUESTION:
                    return
                self._stop_child()
                handover.send(sock, self._goods)
            except OSError as error:
                daemon.log(f"no handover: {error}")
                if not self._child:
                    self._start()
                return
            undo.pop_all()
        self._successor = sock
        daemon.log("handed over to a new keeper")

    def _watch_successor(self) -> None:
        """Start the daemon again when the successor has ended."""
        if self._successor and not _received(self._successor):
            self._successor.close()
            self._successor = None
            daemon.log("the new keeper has ended: the sockets stay held, the daemon starts again")
            self._start()


def _received(sock: socket.socket) -> bytes:
    """Return the received bytes; b"" at the end of the connection."""
    try:
        return sock.recv(64)
    except OSError:
        return b""


def _ended(pid: int) -> int:
    """Return the exit code of a child after SIGTERM, or after SIGKILL if it does not end. Negative: a signal."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        for status in _polled(pid, PATIENCE / 2):
            return os.waitstatus_to_exitcode(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _polled(pid: int, seconds: float) -> Iterator[int]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            yield status
            return
        time.sleep(0.005)


def _reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
