"""Keep the sockets where no systemd does, as in a container: `nplconf hold --keep`.

The keeper is a parent process that starts the daemon, starts it again when it ends, and owns what must outlive it: the
listening socket, and both ends of the queue in which all held sockets are in flight (`store`). These are three file
descriptors, whatever the range. The daemon is a fork, so a new one needs no start of an interpreter.

A keeper that starts beside another one, as in a rolling update with `maxSurge`, asks it at `SOCKET.keeper` to hand
over. The predecessor ends its daemon, sends its file descriptors (SCM_RIGHTS), and keeps its own copies until it is
asked to end. So each number is held by one of the two at every moment. The open connection says that the successor
lives: when it closes, the predecessor starts its daemon again. A successor of the successor gets the connections to all
predecessors, so that none of them resumes when the one in the middle ends.

Measured with 2,002 sockets on two busy cores: a daemon that is killed loses nothing, and the next one answers after
0.05 s; a handover takes 0.45 s, the start of the new interpreter included; keeper and daemon need 11 MB together. A
keeper that is killed takes its container with it, and the range is free until the kubelet has started the container
again. The keeper therefore does as little as possible: it has ten open files, reads one word, and waits. Rejected: a
copy of the queue in the `watch` container (two programs must then agree which one owns it), and a handover between
daemons without a keeper (a crash of the daemon would release every number).
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from nplconf.errors import NplconfError
from nplconf.hold import daemon, handover, store
from nplconf.hold.handover import Goods
from nplconf.hold.notify import Inherited
from nplconf.hold.store import Store
from nplconf.model import PortRange

PATIENCE = 10.0
"""Seconds for a successor to ask, and for a daemon to end."""
RESTART_SECONDS = 0.5
"""Pause before a daemon that ended too early is started again."""
TRIES = 3
"""Daemons in a row that end before they are ready; then the queue is given up, as nothing else differs."""


class Child(NamedTuple):
    """The daemon. lifeline: it says when it is ready, and is at its end when one of the two processes is."""

    pid: int
    lifeline: socket.socket


def main(port_range: PortRange, socket_path: str, ready_file: str | None = None) -> int:
    """Keep a daemon running until SIGTERM or SIGINT; return the exit code.

    Args:
        port_range: what the daemon holds.
        socket_path: where the daemon is asked.
        ready_file: is there while the daemon of this keeper answers.

    Raises:
        BusyError: a predecessor lives and does not hand over.
        BadConfigError: the path is not usable, or a predecessor is in another network namespace.
        PermissionDeniedError: the path is not writable.
    """
    with daemon.stop_signals() as stop:
        keeper = Keeper(port_range, socket_path, ready_file)
        try:
            return keeper.run(stop)
        finally:
            keeper.end()


class Keeper:
    """One daemon, and what outlives it."""

    def __init__(self, port_range: PortRange, socket_path: str, ready_file: str | None) -> None:
        """Take over from a predecessor, or begin with nothing."""
        self._range = port_range
        self._path = socket_path
        self._ready_file = ready_file
        self._say_ready(ready=False)
        self._goods = handover.ask(socket_path + handover.SUFFIX) or handover.new(socket_path)
        self._child: Child | None = None
        self._successor: socket.socket | None = None
        self._proven = False
        self._failed = 0

    def run(self, stop: socket.socket) -> int:
        """Serve until `stop` is readable, or the first daemon could not become ready; return the exit code."""
        self._start()
        while True:
            ready, _, _ = select.select([stop, *self._watched()], [], [])
            if stop in ready:
                return 0
            if self._successor in ready:
                self._listen_to_successor()
            elif self._child and self._child.lifeline in ready:
                code = self._listen_to_child(self._child)
                if code is not None and not self._proven:
                    return code or 1
            elif self._goods.entrance in ready:
                self._hand_over()

    def end(self) -> None:
        """End the daemon. The files go unless a successor uses them, or a predecessor is about to."""
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
        ours, its = socket.socketpair()
        # blocked, as a signal for the child must not reach the handlers that it has of its parent
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        pid = os.fork()
        if not pid:
            ours.close()
            self._be_daemon(its, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        its.close()
        self._child = Child(pid, ours)

    def _be_daemon(self, lifeline: socket.socket, mask: set[int | signal.Signals]) -> None:
        """Run the daemon in the child; never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for sock in (self._goods.entrance, *self._goods.leases):
                sock.close()
            fds = tuple(sock.detach() for sock in self._goods[:1] + self._goods[2:4])
            given = daemon.Entrusted(Inherited(fds, ("", store.NAME, store.NAME)), lifeline)
            code = daemon.main(self._range, self._path, given)
        except NplconfError as error:
            daemon.say(str(error))
            code = error.exit_code
        except Exception as error:  # noqa: BLE001 the keeper starts another one
            daemon.say(f"unexpected {type(error).__name__}: {error}")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _listen_to_child(self, child: Child) -> int | None:
        """Note that the daemon is ready; where it has ended, start another one and return its exit code."""
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
        daemon.say(f"the daemon ended ({_reason(code)}); the sockets stay held, another one starts")
        if self._failed >= TRIES:
            self._give_up_queue()
        self._start()
        return code

    def _give_up_queue(self) -> None:
        daemon.say(f"{TRIES} daemons ended before they were ready: the sockets are released and bound anew")
        self._goods.tail.close()
        self._goods.head.close()
        self._goods = Goods(self._goods.listener, self._goods.entrance, *Store.new().ends, self._goods.leases)
        self._failed = 0

    def _stop_child(self) -> int:
        """Return the exit code of the daemon, which is ended first where it runs."""
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
        """Give everything to the process that asks; copies stay here."""
        with contextlib.ExitStack() as undo:
            try:
                sock = undo.enter_context(self._goods.entrance.accept()[0])
                sock.settimeout(PATIENCE)
                if not daemon.is_trusted(sock) or sock.recv(len(handover.QUESTION)) != handover.QUESTION:
                    return
                self._stop_child()
                handover.send(sock, self._goods)
            except OSError as error:
                daemon.say(f"no handover: {error}")
                if not self._child:
                    self._start()
                return
            undo.pop_all()
        self._successor = sock
        daemon.say("handed over to a new keeper")

    def _listen_to_successor(self) -> None:
        """Resume where the successor has ended."""
        if self._successor and not _received(self._successor):
            self._successor.close()
            self._successor = None
            daemon.say("the new keeper has ended: the sockets stay held, the daemon starts again")
            self._start()


def _received(sock: socket.socket) -> bytes:
    """Return what came; b"" at the end of the connection."""
    try:
        return sock.recv(64)
    except OSError:
        return b""


def _ended(pid: int) -> int:
    """Return the exit code of a child that is asked to end, and killed when it does not; negative: the signal."""
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
