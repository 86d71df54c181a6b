"""Hold a port range, and answer what is held: one thread, one short question a connection, each with a deadline.

What could not be had is tried again at each question. Only root, and the user that the daemon runs as, are answered.
"""

import contextlib
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nplconf.errors import UnavailableError
from nplconf.hold import listener as entrance
from nplconf.hold import notify, protocol, store
from nplconf.hold.sockets import Holding, make_room
from nplconf.hold.store import Store
from nplconf.model import PROTOCOLS, PortRange

PATIENCE = 2.0
"""Seconds that a client has, from connect to the last byte of its answer."""
MAX_CLIENTS = 32
"""At once; the oldest makes room for one more."""
SPARE_FILES = 64
"""Open files beside the held sockets: clients, the listener, standard streams, what a retry opens for a moment."""
PAUSE = 0.1
"""Seconds without a new client when the kernel has no room for one."""
FAREWELL = 0.3
"""Seconds for the clients that are connected when the daemon ends."""
READY = b"ready"
"""What a keeper hears of its daemon."""
NAMED = 10
"""How many numbers a line of text names, at most."""
CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid


class Entrusted(NamedTuple):
    """What a keeper gives to its daemon in place of systemd.

    inherited: the listening socket and both ends of the queue. lifeline: gets a word when the daemon is ready; the
    daemon ends when the keeper does, which closes its end.
    """

    inherited: notify.Inherited
    lifeline: socket.socket


def main(port_range: PortRange, socket_path: str, entrusted: Entrusted | None = None) -> int:
    """Hold the range until SIGTERM or SIGINT, or until the keeper ends; return the exit code.

    Raises BadConfigError (a range beyond the open-file limit, an unusable path), BusyError (another daemon lives at the
    path), PermissionDeniedError.
    """
    with stop_signals() as stop:
        make_room(port_range, SPARE_FILES + (store.SPARE_FILES if entrusted or notify.supervised() else 0))
        inherited = entrusted.inherited if entrusted else notify.inherited()
        handed = [socket.socket(fileno=fd) for fd in inherited.fds if notify.listens(fd)]
        if not handed:
            entrance.refuse_second(socket_path)
        holding = Holding(port_range)
        kept = _hold(holding, inherited.named(store.NAME))
        with handed[0] if handed else entrance.listening(socket_path) as listener:
            say(summary(holding))
            notify.notify("READY=1", f"STATUS={summary(holding)}")
            if entrusted:
                entrusted.lifeline.sendall(READY)
            Service(listener, holding, kept).serve(stop, *([entrusted.lifeline] if entrusted else []))
            notify.notify("STOPPING=1")
    return 0


def _hold(holding: Holding, returned: Sequence[int]) -> Store | None:
    """Hold what systemd or a keeper stored (`returned`: the ends of the queue, or none) and all else that can be bound.

    Returns the queue that stores all of it; None without one: the range is held until this process ends.
    """
    if not returned and not notify.supervised():
        holding.bind_missing()
        return None
    kept = _taken_over(holding, returned)
    if returned and not kept and not notify.supervised():
        raise UnavailableError("the queue of the keeper cannot be used")
    new = holding.bind_missing()
    try:
        if kept:
            kept.add(new)
            return kept
        fresh = Store.new()
        fresh.add(holding.fds())
        if fresh.entrust():
            return fresh
        say("the sockets are not kept for a restart: systemd gives no answer")
    except OSError as error:
        say(f"not all sockets are kept for a restart: {error}")
    return None


def _taken_over(holding: Holding, returned: Sequence[int]) -> Store | None:
    """The queue that systemd kept, once all that is right in it is held; None when there is none that can be used."""
    if not returned:
        return None
    if kept := Store.inherited(returned):
        try:
            kept.take_over(holding.adopt)
        except OSError as error:
            say(f"not all that systemd kept can be used: {error}")
            kept.close()
        else:
            say(f"{holding.count()} sockets were kept through the restart")
            return kept
    store.forget()  # or its sockets would be in the way of ours
    return None


def summary(holding: Holding) -> str:
    """One line: how much is held, and the first of what is not."""
    sockets = len(PROTOCOLS) * len(holding.port_range)
    line = f"{holding.count()} of {sockets} sockets of {holding.port_range} held"
    taken = [f"{number}/{name}" for number, name in holding.taken()]
    if not taken:
        return line
    more = f" and {len(taken) - NAMED} more" if len(taken) > NAMED else ""
    return f"{line}; not had: {', '.join(taken[:NAMED])}{more}"


def say(line: str) -> None:
    """Print one line on stderr."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"nplconf hold: {line}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def stop_signals() -> Iterator[socket.socket]:
    """A socket that becomes readable when the process is asked to end."""
    ours, signalled = socket.socketpair()
    with ours, signalled:
        signalled.setblocking(False)
        before = signal.set_wakeup_fd(signalled.fileno())
        handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)


@dataclass(slots=True, eq=False)
class Client:
    """A connection: what it asked so far, and what of its answer is still to be sent (None: not asked yet)."""

    sock: socket.socket
    until: float
    """Monotonic seconds at which it is dropped."""
    question: bytes = b""
    answer: bytes | None = None


class Service:
    """Answers clients from one holding, none of whom can keep another waiting."""

    def __init__(self, listener: socket.socket, holding: Holding, kept: Store | None = None) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._holding = holding
        self._kept = kept
        self._clients: dict[int, Client] = {}
        self._ready = selectors.DefaultSelector()

    def serve(self, *stops: socket.socket) -> None:
        """Answer until one of `stops` is readable."""
        with self._ready:
            for stop in stops:
                self._ready.register(stop, selectors.EVENT_READ)
            self._ready.register(self._listener, selectors.EVENT_READ)
            while not self._round(stops):
                self._drop_late()
            self._finish(stops)
            for client in list(self._clients.values()):
                self._drop(client)

    def _finish(self, stops: Sequence[socket.socket]) -> None:
        """Answer who is connected already; the next daemon answers who waits at the listening socket."""
        for sock in (*stops, self._listener):
            self._ready.unregister(sock)
        until = time.monotonic() + FAREWELL
        while self._clients and (left := until - time.monotonic()) > 0:
            for key, _ in self._ready.select(left):
                self._go_on(self._clients[key.fd])

    def _round(self, stops: Sequence[socket.socket]) -> bool:
        """Serve who is ready; True when it is time to end."""
        now = time.monotonic()
        patience = min((client.until for client in self._clients.values()), default=None)
        for key, _ in self._ready.select(None if patience is None else max(0.0, patience - now)):
            if key.fileobj in stops:
                return True
            if key.fileobj is self._listener:
                self._accept()
            elif client := self._clients.get(key.fd):
                self._go_on(client)
        return False

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            time.sleep(PAUSE)  # no file or memory left: the connection stays readable, and must not become a busy loop
            return
        if not is_trusted(sock):
            sock.close()
            return
        if len(self._clients) >= MAX_CLIENTS:
            self._drop(next(iter(self._clients.values())))
        sock.setblocking(False)
        self._clients[sock.fileno()] = Client(sock, time.monotonic() + PATIENCE)
        self._ready.register(sock, selectors.EVENT_READ)

    def _go_on(self, client: Client) -> None:
        """Read or write what is possible now; the client goes when it is done, or is gone."""
        try:
            done = self._listen_to(client) if client.answer is None else _speak_to(client)
        except BlockingIOError:
            return
        except OSError:
            done = True
        if done:
            self._drop(client)

    def _listen_to(self, client: Client) -> bool:
        """Read of the question; with its end the answer begins. True when there is nothing to answer."""
        said = client.sock.recv(protocol.MAX_QUESTION - len(client.question))
        client.question += said
        if said and b"\n" not in said and len(client.question) < protocol.MAX_QUESTION:
            return False
        if not client.question:
            return True
        client.answer = self._answer(client.question)
        self._ready.modify(client.sock, selectors.EVENT_WRITE)
        return False

    def _answer(self, question: bytes) -> bytes:
        if question.strip() != protocol.QUESTION:
            return protocol.not_understood()
        if new := self._holding.bind_missing():
            self._tell_of(new)
        return protocol.answer(self._holding.port_range, self._holding.count(), self._holding.taken())

    def _tell_of(self, new: Sequence[int]) -> None:
        """Numbers were had late: to be kept as the others are, and said."""
        try:
            if self._kept:
                self._kept.add(new)
        except OSError as error:
            say(f"{len(new)} sockets are not kept for a restart: {error}")
        say(summary(self._holding))
        notify.notify(f"STATUS={summary(self._holding)}")

    def _drop_late(self) -> None:
        now = time.monotonic()
        for client in [client for client in self._clients.values() if client.until <= now]:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        del self._clients[client.sock.fileno()]
        self._ready.unregister(client.sock)
        client.sock.close()


def _speak_to(client: Client) -> bool:
    """Send of the answer; True when all of it is sent."""
    said = client.answer or b""
    client.answer = said[client.sock.send(said) :]
    return not client.answer


def is_trusted(sock: socket.socket) -> bool:
    """True for root, and for the user of this process."""
    _, uid, _ = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return uid in (0, os.geteuid())
