"""Servers that answer with their name and the client's address, and their client, all in the test's process."""

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

PATIENCE = 1.0
"""Seconds a client waits. A refusal comes at once, so what takes longer hangs."""
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Answer(NamedTuple):
    """pod: who answered; port: the one it listens on; client: the address it saw."""

    pod: str
    port: int
    client: str


class Servers:
    """One thread that serves any number of sockets, whatever namespaces they are of."""

    def __init__(self) -> None:
        self._ready = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        self._ready.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._kept: list[Flow] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        os.write(self._woken, b"x")
        self._thread.join()
        for key in list(self._ready.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        for flow in self._kept:
            flow.close()
        self._ready.close()
        os.close(self._wake)
        os.close(self._woken)

    def open(self, name: str, tcp: Sequence[int], udp: Sequence[int]) -> None:
        """Serve on these ports of both families, in the namespace that the calling thread is in."""
        for protocol, ports in (("tcp", tcp), ("udp", udp)):
            for port in ports:
                server = _server(protocol, port)
                answer = _accept if protocol == "tcp" else _reply
                self._ready.register(server, selectors.EVENT_READ, (answer, f"{name} {port}"))

    def keep(self, flow: "Flow") -> "Flow":
        """Close this flow, too, in the end."""
        self._kept.append(flow)
        return flow

    def _serve(self) -> None:
        while True:
            for key, _ in self._ready.select():
                if key.data is None:
                    return
                answer, name = key.data
                # a client that has gone away again is no matter of the server's
                with contextlib.suppress(OSError):
                    answer(key.fileobj, name)


def _server(protocol: str, port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6, KINDS[protocol])
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if protocol == "tcp":
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    else:  # the answer has to leave by the address that was asked
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    server.bind(("::", port))
    if protocol == "tcp":
        server.listen(128)
    return server


def _accept(server: socket.socket, name: str) -> None:
    connection, client = server.accept()
    with connection:
        connection.sendall(f"{name} {_plain(client[0])}".encode())


def _reply(server: socket.socket, name: str) -> None:
    _, asked, _, client = server.recvmsg(2048, 256)
    server.sendmsg([f"{name} {_plain(client[0])}".encode()], asked, 0, client)


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:")


# --- asking ----------------------------------------------------------------------------------------------------------


def ask(
    address: str, port: int, protocol: str = "tcp", source: str = "", source_port: int = 0, patience: float = PATIENCE
) -> Answer | str:
    """Ask from the namespace that this thread is in: an `Answer`, "refused", "silence", or the error's name."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, KINDS[protocol]) as client:
        client.settimeout(patience)
        if protocol == "tcp":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if source or source_port:
            client.bind((source, source_port))
        return _outcome(lambda: _ask(client, address, port))


def _ask(client: socket.socket, address: str, port: int) -> bytes:
    client.connect((address, port))
    if client.type == socket.SOCK_DGRAM:
        client.send(b"?")
    return client.recv(2048)


def _outcome(request: Callable[[], bytes]) -> Answer | str:
    try:
        pod, port, client = request().decode().split()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silence"
    except OSError as error:
        return str(error.strerror)
    return Answer(pod, int(port), client)


class Flow:
    """A UDP client that keeps its socket, as a video or a game does: every packet is of the same flow."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._to = (address, port)

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def send(self, patience: float = PATIENCE) -> Answer | str:
        """Send one packet, and wait for the answer. Not connected: a refusal is silence, and the flow goes on."""
        self._socket.settimeout(patience)
        self._socket.sendto(b"?", self._to)
        return _outcome(lambda: self._socket.recv(2048))


def timed(request: Callable[[], Answer | str]) -> tuple[Answer | str, float]:
    """An outcome, and the seconds it took."""
    start = time.monotonic()
    return request(), time.monotonic() - start
