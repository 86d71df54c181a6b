"""The hold daemon: bind a port range and answer which ports are held. One thread, one short request per connection.

Every client has a deadline. Ports that could not be bound are tried again at each request. Only root and the daemon's
own user get an answer.
"""

import contextlib
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nplconf.errors import UnavailableError
from nplconf.hold import listener as entrance
from nplconf.hold import notify, protocol, store
from nplconf.hold.sockets import Holding, make_room
from nplconf.hold.store import Store
from nplconf.model import USUAL_PROTOCOLS, PortRange, Protocol

PATIENCE = 2.0
"""Seconds that a client has, from connect to the last byte of the response."""
MAX_CLIENTS = 32
"""The most clients at once. One more replaces the oldest."""
SPARE_FILES = 64
"""Open files beside the held sockets: clients, the listener, standard streams, and temporary ones of a retry."""
PAUSE = 0.1
"""Seconds without a new client after the kernel had no file or memory for one."""
FAREWELL = 0.3
"""Seconds for clients that are connected when the daemon ends."""
READY = b"ready"
"""What the daemon sends to its keeper when it is ready."""
NAMED = 10
"""The most ports that a line of text names."""
CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid


class FromKeeper(NamedTuple):
    """What a keeper passes to its daemon in place of systemd.

    Attributes:
        inherited: The listening socket and both ends of the queue.
        lifeline: Gets `READY` when the daemon is ready. The daemon ends when the keeper's end of it closes.
    """

    inherited: notify.Inherited
    lifeline: socket.socket


def main(
    port_range: PortRange,
    socket_path: str,
    keeper: FromKeeper | None = None,
    protocols: Collection[Protocol] = USUAL_PROTOCOLS,
) -> int:
    """Hold the range until SIGTERM or SIGINT, or until the keeper ends. Return the exit code.

    Args:
        port_range: The ports to hold.
        socket_path: Where clients connect.
        keeper: What a keeper passes; None without a keeper.
        protocols: The protocols whose sockets are held.

    Raises:
        BadConfigError: The range exceeds the open-file limit, or the path is unusable.
        BusyError: Another daemon runs at the path.
        PermissionDeniedError: The process may not bind the sockets or write the path.
    """
    with stop_signals() as stop:
        make_room(port_range, SPARE_FILES + (store.SPARE_FILES if keeper or notify.supervised() else 0), protocols)
        inherited = keeper.inherited if keeper else notify.inherited()
        handed = [socket.socket(fileno=fd) for fd in inherited.fds if notify.listens(fd)]
        if not handed:
            entrance.refuse_second(socket_path)
        holding = Holding(port_range, protocols)
        kept = _hold(holding, inherited.named(store.NAME))
        with handed[0] if handed else entrance.listening(socket_path) as listener:
            log(summary(holding))
            notify.notify("READY=1", f"STATUS={summary(holding)}")
            if keeper:
                keeper.lifeline.sendall(READY)
            Server(listener, holding, kept).serve(stop, *([keeper.lifeline] if keeper else []))
            notify.notify("STOPPING=1")
    return 0


def _hold(holding: Holding, returned: Sequence[int]) -> Store | None:
    """Hold the sockets that systemd or a keeper stored, and bind all other ports.

    Args:
        holding: The sockets of the range.
        returned: The two ends of the stored queue, or nothing.

    Returns:
        The queue that stores the sockets. None without one: then the range is held until this process ends.
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
        log("the sockets are not kept for a restart: systemd gives no answer")
    except OSError as error:
        log(f"not all sockets are kept for a restart: {error}")
    return None


def _taken_over(holding: Holding, returned: Sequence[int]) -> Store | None:
    """Return the stored queue after all its valid sockets are held; None if there is no usable queue."""
    if not returned:
        return None
    if kept := Store.inherited(returned):
        try:
            kept.take_over(holding.adopt)
        except OSError as error:
            log(f"not all that systemd kept can be used: {error}")
            kept.close()
        else:
            log(f"{holding.count()} sockets were kept through the restart")
            return kept
    store.forget()  # its sockets would block the binds that follow
    return None


def summary(holding: Holding) -> str:
    """Return one line: how many sockets are held, and the first ports that are not."""
    sockets = len(holding.protocols) * len(holding.port_range)
    line = f"{holding.count()} of {sockets} sockets of {holding.port_range} held"
    line += "".join(f"; {name} is not held: this kernel has no such sockets" for name in holding.unsupported)
    taken = [f"{number}/{name}" for number, name in holding.taken()]
    if not taken:
        return line
    more = f" and {len(taken) - NAMED} more" if len(taken) > NAMED else ""
    return f"{line}; not held: {', '.join(taken[:NAMED])}{more}"


def log(line: str) -> None:
    """Print one line on stderr."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"nplconf hold: {line}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def stop_signals() -> Iterator[socket.socket]:
    """Yield a socket that becomes readable at SIGTERM or SIGINT."""
    reader, signalled = socket.socketpair()
    with reader, signalled:
        signalled.setblocking(False)
        before = signal.set_wakeup_fd(signalled.fileno())
        handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)


@dataclass(slots=True, eq=False)
class Client:
    """A connection.

    Attributes:
        question: The request as received so far.
        answer: The part of the response that is not sent yet; None before the request is complete.
    """

    sock: socket.socket
    until: float
    """Seconds of the monotonic clock at which the client is dropped."""
    question: bytes = b""
    answer: bytes | None = None


class Server:
    """Answers clients. No client can delay another one."""

    def __init__(self, listener: socket.socket, holding: Holding, kept: Store | None = None) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._holding = holding
        self._queue = kept
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
        """Answer clients that are connected. The next daemon answers those in the queue of the listening socket."""
        for sock in (*stops, self._listener):
            self._ready.unregister(sock)
        until = time.monotonic() + FAREWELL
        while self._clients and (left := until - time.monotonic()) > 0:
            for key, _ in self._ready.select(left):
                self._go_on(self._clients[key.fd])

    def _round(self, stops: Sequence[socket.socket]) -> bool:
        """Serve the clients that are ready. Return True when it is time to end."""
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
            time.sleep(PAUSE)  # no file or memory left: without a pause, the readable listener makes a busy loop
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
        """Read or write what is possible now. Drop the client when it is done or disconnected."""
        try:
            done = self._receive(client) if client.answer is None else _send(client)
        except BlockingIOError:
            return
        except OSError:
            done = True
        if done:
            self._drop(client)

    def _receive(self, client: Client) -> bool:
        """Read the request; when it is complete, prepare the response. Return True if the client sent nothing."""
        data = client.sock.recv(protocol.MAX_QUESTION - len(client.question))
        client.question += data
        if data and b"\n" not in data and len(client.question) < protocol.MAX_QUESTION:
            return False
        if not client.question:
            return True
        began = time.monotonic()
        client.answer = self._answer(client.question)
        spent = time.monotonic() - began  # binding thousands of missing ports may take longer than PATIENCE
        for waiting in self._clients.values():
            waiting.until += spent
        self._ready.modify(client.sock, selectors.EVENT_WRITE)
        return False

    def _answer(self, question: bytes) -> bytes:
        if question.strip() != protocol.QUESTION:
            return protocol.not_understood()
        if new := self._holding.bind_missing():
            self._store(new)
        held = self._holding
        return protocol.answer(held.port_range, held.count(), held.taken(), held.protocols)

    def _store(self, new: Sequence[int]) -> None:
        """Store sockets that were bound late like the others, and log them."""
        try:
            if self._queue:
                self._queue.add(new)
        except OSError as error:
            log(f"{len(new)} sockets are not kept for a restart: {error}")
        log(summary(self._holding))
        notify.notify(f"STATUS={summary(self._holding)}")

    def _drop_late(self) -> None:
        now = time.monotonic()
        for client in [client for client in self._clients.values() if client.until <= now]:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        del self._clients[client.sock.fileno()]
        self._ready.unregister(client.sock)
        client.sock.close()


def _send(client: Client) -> bool:
    """Send the next part of the response. Return True when all is sent."""
    data = client.answer or b""
    client.answer = data[client.sock.send(data) :]
    return not client.answer


def is_trusted(sock: socket.socket) -> bool:
    """Return whether the client is root or the user of this process."""
    _, uid, _ = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return uid in (0, os.geteuid())
