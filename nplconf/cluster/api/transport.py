"""HTTP to one API server: JSON, gzip, one deadline for connecting and reading, no hidden retries or redirects.

This is Python's http.client and not the transport of the `kubernetes` package. Importing that one costs 220 ms of CPU
and 35 MB (pydantic, requests, oauthlib), urllib3 alone 65 ms and 14 MB, http.client with ssl 25 ms and 8 MB. A run
every few seconds on every node may take 500 ms and 90 MB in all. http.client also gives access to its socket, which is
needed for a deadline that ends a response arriving byte by byte.
"""

import _thread
import contextlib
import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from nplconf import __version__
from nplconf.cluster.api import unpacking
from nplconf.cluster.api.access import Access
from nplconf.cluster.api.connection import Connection, is_over, probe_peer
from nplconf.deadline import LOOK, current
from nplconf.errors import NplconfError, UnavailableError

SILENCE_SECONDS = 6.0
"""A connection without a byte for so long is replaced: one server of several may be dead."""
LARGEST = 256 << 20
"""Bytes of one response on the wire: five times an uncompressed list of 50,000 Services."""
HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": f"nplconf/{__version__}"}
WATCH_HEADERS = {**HEADERS, "Accept-Encoding": "identity"}
"""Uncompressed: a compressor would delay events until its block is full."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A response.

    Attributes:
        status: The HTTP status.
        headers: Name in lower case -> value.
        body: The whole body as it was sent.
        packed: The body is compressed by gzip.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    packed: bool = False

    @property
    def json(self) -> bool:
        """Whether the content type is JSON."""
        return self.headers.get("content-type", "").partition(";")[0].strip().endswith("json")

    def texts(self) -> Iterator[str]:
        """Return the unpacked body, part by part. Raises ValueError: not UTF-8, or beyond the bound of `unpacking`."""
        starts = range(0, len(self.body), unpacking.PIECE)
        plain = (self.body[start : start + unpacking.PIECE] for start in starts)
        return unpacking.texts(unpacking.pieces(self.body) if self.packed else plain)


class Deadline:
    """A deadline that closes every watched socket when it passes, also one that still receives bytes.

    It passes at the end of the run at the latest, also if a signal makes the run end earlier.
    """

    def __init__(self, seconds: float) -> None:
        self._run = current()
        self.seconds = self._run.left(seconds)
        self._end = time.monotonic() + self.seconds
        self._over = threading.Event()
        self._sockets: set[socket.socket] = set()

    def __enter__(self) -> Self:
        # not threading.Thread: its start() waits until the thread runs, up to 9 ms on a busy machine
        _thread.start_new_thread(self._await_end, ())
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()

    def _await_end(self) -> None:
        while not self._over.wait(min(self.left, LOOK)):
            if not self.left:
                self._cut()
                return

    @property
    def left(self) -> float:
        """Seconds that are left, 0 when it has passed."""
        return self._run.left(max(0.0, self._end - time.monotonic()))

    def pause(self, seconds: float) -> None:
        """Sleep so long, or until it has passed."""
        end = time.monotonic() + seconds
        while (rest := min(end - time.monotonic(), self.left)) > 0:
            time.sleep(min(rest, LOOK))

    def check(self) -> None:
        """Raise UnavailableError when it has passed."""
        if not self.left:
            raise UnavailableError(f"the API server gave no whole answer in {self.seconds:.0f} s")

    def watch(self, found: socket.socket) -> None:
        """Close this socket, too, when the deadline passes."""
        self._sockets.add(found)

    def _cut(self) -> None:
        for found in tuple(self._sockets):
            _cut(found)


def _cut(found: socket.socket) -> None:
    """Shut a socket down, so that a reader in any thread sees its end."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(found, socket.SHUT_RDWR)


class Transport:
    """Requests over one connection that stays open between them. Not thread-safe."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._base = urlsplit(access.server).path.rstrip("/")
        self._context = access.tls()
        self._connection: Connection | None = None

    @property
    def server(self) -> str:
        """The URL of the server."""
        return self._access.server

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def send(self, method: str, path: str, deadline: Deadline, data: bytes | None = None, **headers: str) -> Reply:
        """Send one request and return its response.

        Args:
            method: The HTTP method.
            path: The path with its query.
            deadline: Ends the request.
            data: The body.
            headers: Further headers, written `Content_Type` for Content-Type.

        Raises:
            UnavailableError: There is no complete response. The next request opens a new connection.
        """
        try:
            return self._send(method, path, deadline, data, headers)
        except NplconfError:
            raise
        except Exception as err:  # noqa: BLE001 - for an invalid response http.client raises many kinds of exceptions
            self.close()
            raise UnavailableError(f"{self._place()}: {_why(err, deadline)}") from None

    def _send(
        self, method: str, path: str, deadline: Deadline, data: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        if not deadline.left:
            raise TimeoutError
        connection = self._opened(deadline)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.send_at_once(method, self._base + path, data, {**HEADERS, **self._access.headers(), **given})
        with connection.getresponse() as response:
            found = {name.lower(): value for name, value in response.headers.items()}
            packed = _is_packed(found.get("content-encoding", ""))
            body = _whole(response, packed=packed)
        if not deadline.left:  # a response that was cut off in its head looks like one without a body
            raise TimeoutError
        if response.will_close:
            self.close()
        return Reply(response.status, found, body, packed)

    def stream(self, path: str, deadline: Deadline, silence: float, longest: int) -> "Reply | Iterator[bytes]":
        """Open a watch. Return the lines of its response, or the whole response if it is refused.

        Args:
            path: The path with its query.
            deadline: For the head of the response.
            silence: Seconds without a byte after which the stream counts as dead.
            longest: The most bytes of one line.

        Raises:
            UnavailableError: There is no response, or it breaks off, also while the lines are read.
        """
        try:
            connection = self._opened(deadline)
            connection.request("GET", self._base + path, None, {**WATCH_HEADERS, **self._access.headers()})
            response = connection.getresponse()
            if response.status != 200:
                found = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, found, _raw(response))
            connection.sock.settimeout(silence)
            probe_peer(connection.sock)
        except NplconfError:
            raise
        except Exception as err:  # noqa: BLE001 - as for `send`
            self.close()
            raise UnavailableError(f"{self._place()}: {_why(err, deadline)}") from None
        return self._lines(response, longest)

    def _lines(self, response: http.client.HTTPResponse, longest: int) -> Iterator[bytes]:
        try:
            while line := _line(response, longest):
                if line.strip():
                    yield line
        except (http.client.HTTPException, OSError, ValueError, AttributeError) as err:
            # ValueError, AttributeError: another thread has closed the connection
            raise UnavailableError(f"{self._place()}: the watch ended: {str(err) or type(err).__name__}") from None
        finally:
            self.close()

    def _place(self) -> str:
        hop = urlsplit(self._access.proxy)
        return f"{self._access.server}{f' through the proxy {hop.hostname}:{hop.port or 80}' if hop.hostname else ''}"

    def _opened(self, deadline: Deadline) -> Connection:
        if self._connection and is_over(self._connection.sock):
            self.close()
        if self._connection is None:
            self._connection = _connected(Connection(self._access, self._context), deadline)
        self._connection.sock.settimeout(min(deadline.left, SILENCE_SECONDS))
        deadline.watch(self._connection.sock)
        return self._connection


def _connected(connection: Connection, deadline: Deadline) -> Connection:
    """Connect in a thread that is abandoned at the deadline: name resolution and proxies ignore timeouts."""
    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    late = threading.Event()

    def connect() -> None:
        problem = None
        try:
            connection.connect()
        except Exception as err:  # noqa: BLE001 - whatever it is, it is raised below
            problem = err
        outcome.put(problem)
        if problem or late.is_set():
            connection.close()

    threading.Thread(target=connect, daemon=True).start()
    try:
        problem = _outcome(outcome, deadline)
    except queue.Empty:
        late.set()
        if (sock := connection.sock) is not None:  # a slow proxy would keep it open
            _cut(sock)
        if not outcome.empty():  # it connected at the last instant, and may not have seen `late`
            connection.close()
        raise TimeoutError from None
    if problem:
        raise problem
    return connection


def _outcome(found: "queue.SimpleQueue[Exception | None]", deadline: Deadline) -> Exception | None:
    """Return what was put. Raises queue.Empty when the deadline is over."""
    while (left := deadline.left) > LOOK:
        with contextlib.suppress(queue.Empty):
            return found.get(timeout=LOOK)
    return found.get(timeout=left)


def _line(response: http.client.HTTPResponse, longest: int) -> bytes:
    line = response.readline(longest)
    if len(line) >= longest:
        raise http.client.HTTPException(f"a line of its watch is longer than {longest >> 20} MiB")
    if line and not line.endswith(b"\n"):
        raise http.client.HTTPException("a line of its watch is cut off")
    return line


def _is_packed(encoding: str) -> bool:
    if encoding.lower() not in ("", "identity", "gzip", "x-gzip"):
        raise http.client.HTTPException(f"its answer has the encoding {encoding!r}, which was not asked for")
    return encoding.lower().endswith("gzip")


def _whole(response: http.client.HTTPResponse, *, packed: bool) -> bytes:
    """Return the body; raise an error if it was cut off in transit."""
    data = _raw(response)
    if packed:
        try:
            unpacking.check(data)
        except EOFError:
            raise http.client.HTTPException("the gzip of its answer ends too early") from None
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
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {err.verify_message}; see --kubeconfig"
    return (err.strerror if isinstance(err, OSError) and err.strerror else str(err)) or type(err).__name__
