"""A proxy in front of the real API server that causes the faults of networks, load balancers and busy servers.

It speaks TLS to both sides, so bearer tokens pass and client certificates do not. Responses that are not chosen to fail
are passed on unchanged. All requests are counted.
"""

import asyncio
import contextlib
import functools
import gzip
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import kube
import netns

HANG_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked. path: with its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Answer:
    """What it is given. cut: bytes of the body that the head promises and that do not come. pace: seconds per byte."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: int = 0
    pace: float = 0

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Upstream = Callable[[], Awaitable[Answer]]
Fault = Callable[[Request, Upstream], Awaitable[Answer | None]]
"""Turns a request into an answer, with the real one where it wants that; None: the connection is reset."""


# --- faults ----------------------------------------------------------------------------------------------------------


def answers(status: int, body: object = "", kind: str = "application/json", **headers: str) -> Fault:
    """Respond in place of the server. headers: `Retry_After` for Retry-After."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    async def act(_request: Request, _upstream: Upstream) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, {"Content-Type": kind, **given}, data)

    return act


def status(code: int, reason: str, message: str = "told to", **details: Any) -> Fault:
    """A Status object as the API server makes them."""
    return answers(code, _status(code, reason, message) | {"details": details})


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def reset() -> Fault:
    """The connection is reset before anything is answered."""

    async def act(_request: Request, _upstream: Upstream) -> None:
        return None

    return act


def reset_after() -> Fault:
    """The server does what is asked, and the connection is reset before it can say so."""

    async def act(_request: Request, upstream: Upstream) -> None:
        await upstream()

    return act


def hang(seconds: float = HANG_SECONDS) -> Fault:
    """Delay the server's response."""

    async def act(_request: Request, upstream: Upstream) -> Answer:
        await asyncio.sleep(seconds)
        return await upstream()

    return act


def edited(change: Callable[[Any], Any]) -> Fault:
    """The server's answer, changed."""

    async def act(_request: Request, upstream: Upstream) -> Answer:
        answer = await upstream()
        return Answer(answer.status, answer.headers, json.dumps(change(answer.json)).encode())

    return act


def dripping(pace: float = 0.1) -> Fault:
    """The server's answer, one byte at a time, with so many seconds between two."""

    async def act(_request: Request, upstream: Upstream) -> Answer:
        answer = await upstream()
        return Answer(answer.status, answer.headers, answer.body, pace=pace)

    return act


def truncated(to: int, *, honest: bool = False) -> Fault:
    """The first bytes of the server's answer. honest: its length says so, as when a proxy has cut it off."""

    async def act(_request: Request, upstream: Upstream) -> Answer:
        answer = await upstream()
        if honest:
            return Answer(answer.status, answer.headers, answer.body[:to])
        return Answer(answer.status, answer.headers, answer.body, cut=len(answer.body) - to)

    return act


def bomb(size: int) -> Fault:
    """A list with so many spaces in it, packed to a thousandth."""
    packed = _packed(size)  # not in the proxy's thread, which other connections wait for

    async def act(_request: Request, _upstream: Upstream) -> Answer:
        return Answer(200, {"content-type": "application/json", "content-encoding": "gzip"}, packed)

    return act


@functools.cache
def _packed(size: int) -> bytes:
    return gzip.compress(b'{"kind":"ServiceList","items":[' + b" " * size)


def half_a_gzip() -> Fault:
    """The server's answer packed, and cut off inside."""

    async def act(_request: Request, upstream: Upstream) -> Answer:
        answer = await upstream()
        packed = gzip.compress(answer.body)
        return Answer(answer.status, answer.headers | {"content-encoding": "gzip"}, packed[: len(packed) // 2])

    return act


def before(work: Callable[[], object]) -> Fault:
    """Something happens in the cluster just before the request gets there."""

    async def act(_request: Request, upstream: Upstream) -> Answer:
        await asyncio.to_thread(work)
        return await upstream()

    return act


# --- faults of a watch ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broken:
    """What becomes of one watch: a part of its bytes comes, as `change` makes them, then it is cut or silent.

    after: bytes behind the head of the response; None: all of them.
    """

    after: int | None = None
    silent: bool = False
    change: Callable[[bytes], bytes] = bytes


# --- the proxy -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Rule:
    fault: Fault
    method: str
    path: str
    times: int


@dataclass
class Proxy:
    """Runs in a thread of its own. host: where it is reached, in a namespace where one is named."""

    plane: kube.ControlPlane
    host: str = "127.0.0.1"
    namespace: str | None = None
    requests: list[Request] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    sent: int = 0
    """Bytes to the client, of heads and bodies."""
    _rules: list[_Rule] = field(default_factory=list)
    _broken: list[Broken] = field(default_factory=list)
    _streams: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        certificate, key = self.plane.server_certificate(self.host)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, key)
        self._upstream_tls = ssl.create_default_context(cafile=str(self.plane.ca))
        with netns.inside(self.namespace) if self.namespace else contextlib.nullcontext():
            self._listener = kube.listener(self.host)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listener.close()

    @property
    def server(self) -> str:
        return f"https://{self.host}:{self.port}"

    def kubeconfig(self, name: str, **user: Any) -> Path:
        """A kubeconfig that goes through the proxy."""
        return self.plane.kubeconfig(
            name, user, self.server, **{"certificate-authority": str(self.plane.directory / "ca.crt")}
        )

    def fail(self, fault: Fault, path: str = "", method: str = "", times: int = 1) -> None:
        """The next requests whose path begins so get this instead."""
        self._rules.append(_Rule(fault, method, path, times))

    def break_streams(self, *faults: Broken) -> None:
        """Break all watches off; each of the next ones gets one of these faults."""
        self._broken[:] = faults
        self.cut_streams()

    def heal(self) -> None:
        """No request fails any more."""
        self._rules.clear()
        self._broken.clear()

    def seen(self, method: str) -> list[str]:
        """The paths of all requests of a method."""
        return [request.path for request in self.requests if request.method == method]

    @property
    def open_streams(self) -> int:
        """The watches that neither side has ended."""
        return sum(not writer.transport.is_closing() for writer in tuple(self._streams))

    # --- inside its thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(
            asyncio.start_server(self._client, sock=self._listener, ssl=self._tls, limit=1 << 24)
        )
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = _Upstream(self.plane, self._upstream_tls)
        task = asyncio.current_task()
        self._tasks.add(task)  # the loop has weak references alone, and a watch waits long
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._exchange(reader, writer, upstream):
                pass
        self._tasks.discard(task)
        upstream.close()
        writer.transport.abort()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: "_Upstream"
    ) -> bool:
        """One request and its answer; False when the connection is over."""
        first, headers = await _head(reader)
        method, path, _ = first.split(" ")
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method, path, headers, body)
        self.requests.append(request)
        fault = self._next(request)
        if fault is None and "watch=1" in path:
            return await self._stream(upstream, request, writer)
        ask = _expired if "watch=1" in path else functools.partial(upstream.ask, request)
        answer = await (fault(request, ask) if fault else ask())
        if answer is None:
            self.statuses.append(0)
            return False
        self.statuses.append(answer.status)
        data = _encoded(answer)
        self.sent += len(data)
        for piece in [data] if not answer.pace else (data[i : i + 1] for i in range(len(data))):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(answer.pace)
        return not answer.cut

    async def _stream(self, upstream: "_Upstream", request: Request, writer: asyncio.StreamWriter) -> bool:
        """Hand a watch on, byte by byte, until one side ends it or `cut_streams` does."""
        source = await upstream.send(request)
        head = await source.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            writer.write(_encoded(await _body(head, source)))
            return True
        self._streams.add(writer)
        broken = self._broken.pop(0) if self._broken else Broken()
        try:
            writer.write(head)
            left = broken.after
            while left != 0 and (data := await source.read(1 << 16)):
                writer.write(broken.change(data)[:left])
                await writer.drain()
                left = None if left is None else max(0, left - len(data))
            if broken.silent:
                await asyncio.sleep(HANG_SECONDS)
        finally:
            self._streams.discard(writer)
        return False

    def cut_streams(self) -> int:
        """Break all watches off. Return how many went on."""
        # one that is broken off stays in the set until its next event
        going = [writer for writer in tuple(self._streams) if not writer.transport.is_closing()]
        for writer in going:
            self._loop.call_soon_threadsafe(writer.transport.abort)
        return len(going)

    def _next(self, request: Request) -> Fault | None:
        for rule in self._rules:
            if rule.times and rule.method in ("", request.method) and request.path.startswith(rule.path):
                rule.times -= 1
                return rule.fault
        return None


@dataclass
class _Upstream:
    """One connection to the real server, opened when it is needed."""

    plane: kube.ControlPlane
    tls: ssl.SSLContext
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, request: Request) -> Answer:
        return await _answer(await self.send(request))

    async def send(self, request: Request) -> asyncio.StreamReader:
        """Send a request; where its response is read from."""
        if self.reader is None or self.writer is None:
            with netns.inside(self.plane.namespace) if self.plane.namespace else contextlib.nullcontext():
                opened = asyncio.open_connection(self.plane.host, self.plane.port, ssl=self.tls, limit=1 << 24)
                self.reader, self.writer = await opened
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length", "accept-encoding")}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"host: {self.plane.host}", f"content-length: {len(request.body)}"]
        head = "\r\n".join([f"{request.method} {request.path} HTTP/1.1", *lines])
        self.writer.write(head.encode() + b"\r\n\r\n" + request.body)
        return self.reader

    def close(self) -> None:
        if self.writer:
            self.writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    return _parsed(await reader.readuntil(b"\r\n\r\n"))


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.split(":", 1) for line in rest)
    return first, {name.strip().lower(): value.strip() for name, value in pairs}


async def _answer(reader: asyncio.StreamReader) -> Answer:
    return await _body(await reader.readuntil(b"\r\n\r\n"), reader)


async def _body(head: bytes, reader: asyncio.StreamReader) -> Answer:
    first, headers = _parsed(head)
    if "chunked" in headers.pop("transfer-encoding", ""):
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(first.split(" ")[1]), headers, body)


async def _expired() -> Answer:
    """Answer a watch in place of the server, for a fault that changes a whole answer. The client lists again."""
    body = _status(410, "Expired", "too old resource version")
    return Answer(410, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _encoded(answer: Answer) -> bytes:
    headers = {k: v for k, v in answer.headers.items() if k.lower() != "content-length"}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {answer.status} -", *lines, f"content-length: {len(answer.body)}"])
    return head.encode("latin-1") + b"\r\n\r\n" + answer.body[: len(answer.body) - answer.cut]
