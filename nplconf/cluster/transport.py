"""HTTP to one API server: JSON in and out, gzip, one deadline for all, nothing retried that was not said here.

Python's own http.client, not the transport of the `kubernetes` package: to import that one costs 220 ms of CPU and 43 MB
(pydantic, requests, oauthlib), urllib3 alone 65 ms and 14 MB, http.client with ssl 25 ms and 8 MB, and a run every few
seconds on every node may take 500 ms and 90 MB in all. It follows no redirect and repeats no request by itself, and
its socket is at hand, which a deadline that nothing can outlive needs.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from nplconf import __version__
from nplconf.cluster.credentials import Access
from nplconf.errors import BadConfigError, UnavailableError

CONNECT_SECONDS = 5.0
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
        self._end = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._sockets: set[socket.socket] = set()

    def __enter__(self) -> "Deadline":
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

    def close(self) -> None:
        """Let the connection go."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def send(self, method: str, path: str, deadline: Deadline, body: bytes | None = None, **headers: str) -> Reply:
        """One request and its answer. headers: `Content_Type` for Content-Type.

        A connection that the server has closed meanwhile is opened anew, once. Raises UnavailableError.
        """
        reused = self._connection is not None
        try:
            return self._send(method, path, deadline, body, headers)
        except (http.client.HTTPException, OSError, zlib.error) as err:
            self.close()
            if not reused or not deadline.left or not _was_closed(err):
                raise UnavailableError(f"{self._access.server}: {_why(err, deadline)}") from err
        return self.send(method, path, deadline, body, **headers)

    def _send(
        self, method: str, path: str, deadline: Deadline, body: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        connection = self._opened(deadline)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, self._base + path, body, {**HEADERS, **self._access.headers(), **given})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.headers.items()}
        unpacked = _unpacked(response, found.get("content-encoding", ""))
        if response.will_close:
            self.close()
        return Reply(response.status, found, unpacked)

    def _opened(self, deadline: Deadline) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._access, self._context)
            self._connection.connect()
        # the deadline is the timer's; this one is for a platform on which a shutdown wakes nobody
        self._connection.sock.settimeout(deadline.left + 1)
        deadline.watch(self._connection.sock)
        return self._connection


def _unpacked(response: http.client.HTTPResponse, encoding: str) -> bytes:
    """The whole body, or an error: what was cut off in transit is no answer."""
    if encoding not in ("", "identity", "gzip"):
        raise http.client.HTTPException(f"an answer in the encoding {encoding!r} that was not asked for")
    if not encoding.startswith("gzip"):
        data = response.read(LARGEST) if response.length is None else response.read()
        return _bounded(data)
    unpacker = zlib.decompressobj(wbits=31)
    data = unpacker.decompress(response.read(), LARGEST)
    if not unpacker.eof:
        raise http.client.HTTPException("the gzip of the answer ends too early, or is too large")
    return data


def _bounded(data: bytes) -> bytes:
    if len(data) >= LARGEST:
        raise http.client.HTTPException(f"an answer of more than {LARGEST >> 20} MiB")
    return data
