"""Requests to servers that are no API server or do not answer: each ends in time with the reason."""

import base64
import contextlib
import gc
import queue
import socket
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import pytest

from nplconf.cluster.api import transport
from nplconf.cluster.api.access import Access
from nplconf.cluster.api.transport import Deadline, Transport
from nplconf.deadline import limited
from nplconf.errors import UnavailableError

Serve = Callable[[socket.socket], None]
SECONDS = 0.5
HEARD: list[bytes] = []
"""What servers were asked."""


@pytest.fixture
def serving() -> Iterator[Callable[[Serve], str]]:
    """Return a function that starts a server for one connection. It ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(serve: Serve) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            thread = threading.Thread(target=accept, args=(listener, serve))
            thread.start()
            stack.callback(thread.join)
            return f"127.0.0.1:{listener.getsockname()[1]}"

        yield start


def accept(listener: socket.socket, serve: Serve) -> None:
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        HEARD.append(connection.recv(65536))
        serve(connection)


def drip(connection: socket.socket) -> None:
    """One byte after the other, until nobody listens any more."""
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def why(access: Access, seconds: float = SECONDS) -> str:
    """What a request that fails says, and soon enough."""
    start = time.monotonic()
    transport_ = Transport(access)
    with Deadline(seconds) as deadline, pytest.raises(UnavailableError) as caught:
        transport_.send("GET", "/", deadline)
    assert time.monotonic() - start < seconds + 1
    return str(caught.value)


def test_a_name_server_that_is_silent_does_not_outlive_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait())

    assert "no answer" in why(Access(server="http://far.example", source="a test"))
    over.set()


def test_many_addresses_that_are_silent_do_not_outlive_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = full.getsockname()
        with socket.create_connection(place), contextlib.ExitStack() as stack:
            for _ in range(3):  # what the queue has no room for is not answered
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(place)
            found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place)] * 20
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            assert "no answer" in why(Access(server="http://far.example", source="a test"))


def test_a_connection_made_at_the_last_instant_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that connects ends after the deadline, and before it is abandoned."""
    made: list[tuple[socket.socket, threading.Thread]] = []
    connect = transport.Connection.connect

    def connected(connection: transport.Connection) -> None:
        connect(connection)
        made.append((connection.sock, threading.current_thread()))

    def over(outcome: "queue.SimpleQueue[Exception | None]", _: Deadline) -> None:
        outcome.put(outcome.get(timeout=5))
        made[0][1].join()
        raise queue.Empty

    monkeypatch.setattr(transport.Connection, "connect", connected)
    monkeypatch.setattr(transport, "_outcome", over)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert "silent" in why(Access(server=f"http://127.0.0.1:{listener.getsockname()[1]}", source="a test"))
    assert [sock.fileno() for sock, _ in made] == [-1]


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what a refused tunnel leaves: before Python 3.11.4 http.client does not close the proxy's response."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("collected")
def test_a_proxy_that_sends_byte_by_byte_does_not_outlive_the_deadline(serving: Callable[[Serve], str]) -> None:
    place = serving(drip)

    assert f"through the proxy {place}: no answer" in why(
        Access(server="https://far.example", source="a test", proxy=f"http://{place}")
    )


def test_a_server_that_sends_byte_by_byte_does_not_outlive_the_deadline(serving: Callable[[Serve], str]) -> None:
    assert "no answer" in why(Access(server=f"http://{serving(drip)}", source="a test"))


@pytest.mark.usefixtures("collected")
def test_a_proxy_gets_its_password_and_no_message_shows_it(serving: Callable[[Serve], str]) -> None:
    place = serving(answer("HTTP/1.1 407 no\n\n"))

    output = why(Access(server="https://far.example", source="a test", proxy=f"http://me:se%40cret@{place}"))

    assert "407" in output
    assert "cret" not in output
    password = base64.b64encode(b"me:se@cret").decode()
    assert f"Proxy-Authorization: Basic {password}\r\n" in HEARD[-1].decode()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answer(text: str) -> Serve:
    return lambda connection: connection.sendall(text.replace("\n", "\r\n").encode())


@pytest.mark.parametrize(
    ("serve", "output"),
    [
        (reset, "reset"),
        (lambda _: None, "closed connection"),
        (answer("SSH-2.0-OpenSSH_9.2\n"), "SSH-2.0"),
        (answer("HTTP/1.1 200 OK\nContent-Length: 9\n\n{}"), "cut off"),
        (answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\n{}\n"), "cut off"),
        (answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzz\n{}\n"), "cut off"),
        (answer("HTTP/1.1 200 OK\nContent-Encoding: br\nContent-Length: 2\n\n{}"), "'br', which was not asked for"),
        (answer("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 2\n\n{}"), "incorrect header"),
        (answer("HTTP/1.1 200 OK\n" + "a: b\n" * 200), "headers"),
    ],
)
def test_an_incomplete_response_is_reported(serving: Callable[[Serve], str], serve: Serve, output: str) -> None:
    assert output in why(Access(server=f"http://{serving(serve)}", source="a test"), seconds=5)


def test_an_answer_of_http_1_0_ends_where_its_connection_does(serving: Callable[[Serve], str]) -> None:
    place = serving(answer("HTTP/1.0 200 OK\nContent-Type: application/json\n\n{}"))
    found = Transport(Access(server=f"http://{place}", source="a test"))

    with Deadline(5) as deadline:
        reply = found.send("GET", "/", deadline)

    assert (reply.status, reply.body, reply.json) == (200, b"{}", True)


def test_a_run_that_is_asked_to_end_has_little_time_left_for_an_answer_and_for_a_pause(
    serving: Callable[[Serve], str],
) -> None:
    began = time.monotonic()
    server = f"http://{serving(drip)}"
    with limited(last=0.2) as run, Deadline(60) as deadline:
        run.step()
        threading.Timer(0.2, run.stop).start()
        with pytest.raises(UnavailableError, match="no answer"):
            Transport(Access(server=server, source="a test")).send("GET", "/", deadline)
        deadline.pause(60)
    assert time.monotonic() - began < 3


def test_an_idle_connection_that_the_server_has_closed_is_replaced_at_once() -> None:
    """It would cost a failure and the pause after it: 0.1 s for the first Pod after a quiet time."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(head)

        thread = threading.Thread(target=serve)
        thread.start()
        access = Access(server=f"http://127.0.0.1:{listener.getsockname()[1]}", source="a test")
        with contextlib.closing(Transport(access)) as opened:
            for _ in range(2):
                with Deadline(SECONDS) as deadline:
                    assert opened.send("GET", "/", deadline).body == b"{}"
                time.sleep(0.05)
        thread.join()
