"""HTTP to one API server: JSON in and out, gzip, one deadline for all, nothing retried that was not said here.

Python's own http.client, not the transport of the `kubernetes` package: to import that one costs 220 ms of CPU and
35 MB (pydantic, requests, oauthlib), urllib3 alone 65 ms and 14 MB, http.client with ssl 25 ms and 8 MB, and a run
every few seconds on every node may take 500 ms and 90 MB in all. It follows no redirect and repeats no request by
itself, and its socket is at hand, which a deadline that nothing can outlive needs.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from nplconf import __version__
from nplconf.cluster.credentials import Access
from nplconf.errors import UnavailableError

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 6.0
"""Without a byte for so long a connection is given up for another one: one server of several may be dead."""
LARGEST = 512 << 20
"""Bytes of one unpacked answer: ten times a cluster of 50,000 Services."""
HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": f"nplconf/{__version__}"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. headers: in lower case. body: unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> bool:
        """It says that it is JSON."""
        return self.headers.get("content-type", "").partition(";")[0].strip().endswith("json")


class Deadline:
    """An end that nothing outlives: when it comes, what is connected by then is cut off, however slowly it drips."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._sockets: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()

    @property
    def left(self) -> float:
        """Seconds; 0 when it is over."""
        return max(0.0, self._end - time.monotonic())

    def watch(self, found: socket.socket) -> None:
        """Cut this socket off, too."""
        self._sockets.add(found)

    def _cut(self) -> None:
        for found in tuple(self._sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)


class Connection(http.client.HTTPConnection):
    """A connection whose TLS name may be another than the host's, through a proxy where there is one."""

    def __init__(self, access: Access, context: ssl.SSLContext | None) -> None:
        target = urlsplit(access.server)
        port = target.port or (443 if context else 80)
        hop = urlsplit(access.proxy) if access.proxy else target
        super().__init__(hop.hostname or "", hop.port or port, timeout=CONNECT_SECONDS)
        if access.proxy:
            self.set_tunnel(target.hostname or "", port)
        self._tls = context
        self._name = access.server_name or target.hostname

    def connect(self) -> None:
        """Connect, and speak TLS where it is spoken."""
        super().connect()
        if self._tls:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


class Transport:
    """Requests over one connection, kept open between them. Not for several threads at once: each has its own."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._base = urlsplit(access.server).path.rstrip("/")
        self._context = access.tls()
        self._connection: Connection | None = None

    @property
    def server(self) -> str:
        """Its URL."""
        return self._access.server

    def close(self) -> None:
        """Let the connection go."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def send(self, method: str, path: str, deadline: Deadline, body: bytes | None = None, **headers: str) -> Reply:
        """One request and its answer. headers: `Content_Type` for Content-Type.

        Raises UnavailableError; then the next request opens a new connection.
        """
        try:
            return self._send(method, path, deadline, body, headers)
        except (http.client.HTTPException, OSError, zlib.error) as err:
            self.close()
            raise UnavailableError(f"{self._access.server}: {_why(err, deadline)}") from None

    def _send(
        self, method: str, path: str, deadline: Deadline, body: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        if not deadline.left:
            raise TimeoutError
        connection = self._opened(deadline)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, self._base + path, body, {**HEADERS, **self._access.headers(), **given})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.headers.items()}
        unpacked = _unpacked(response, found.get("content-encoding", ""))
        if not deadline.left:  # what was cut off in its head reads like an answer without a body
            raise TimeoutError
        if response.will_close:
            self.close()
        return Reply(response.status, found, unpacked)

    def _opened(self, deadline: Deadline) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._access, self._context)
            self._connection.connect()
        self._connection.sock.settimeout(min(deadline.left, SILENCE_SECONDS))
        deadline.watch(self._connection.sock)
        return self._connection


def _unpacked(response: http.client.HTTPResponse, encoding: str) -> bytes:
    """The whole body, or an error: what was cut off in transit is no answer."""
    if encoding in ("", "identity"):
        return _raw(response)
    if encoding != "gzip":
        raise http.client.HTTPException(f"its answer has the encoding {encoding!r}, which was not asked for")
    unpacker = zlib.decompressobj(wbits=31)
    data = unpacker.decompress(_raw(response), LARGEST)
    if not unpacker.eof:
        raise http.client.HTTPException("the gzip of its answer ends too early, or is too large")
    return data


def _raw(response: http.client.HTTPResponse) -> bytes:
    # read() without a size notices that a body of a known length is cut off, read(size) does not
    known = response.length is not None
    data = response.read() if known and (response.length or 0) < LARGEST else response.read(LARGEST)
    if len(data) >= LARGEST:
        raise http.client.HTTPException(f"its answer is larger than {LARGEST >> 20} MiB")
    return data


def _why(err: Exception, deadline: Deadline) -> str:
    if not deadline.left:
        return f"no answer in {deadline.seconds:.0f} s"
    if isinstance(err, http.client.IncompleteRead):
        return "its answer is cut off"
    if isinstance(err, TimeoutError):
        return "it is silent"
    return (err.strerror if isinstance(err, OSError) and err.strerror else str(err)) or type(err).__name__
