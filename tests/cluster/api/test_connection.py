"""A request goes out in one write, and nothing waits for a thread before it."""

import socket
import threading

import pytest

from nplconf.cluster.api.access import Access
from nplconf.cluster.api.connection import Connection
from nplconf.cluster.api.transport import Deadline

ACCESS = Access(server="http://far.example", source="a test")


@pytest.mark.parametrize("body", [None, b"", b"{}", b"x" * 9000])
def test_head_and_body_are_one_write(body: bytes | None) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps the bounds of writes
    with here, there:
        opened = Connection(ACCESS, None)
        opened.sock = here
        opened.send_at_once("PATCH", "/x", body, {"A": "b"})
        found = there.recv(1 << 16)
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            there.recv(1)
    head, _, rest = found.partition(b"\r\n\r\n")
    assert head.startswith(b"PATCH /x HTTP/1.1\r\n")
    assert rest == (body or b"")


def test_a_request_that_cannot_be_built_leaves_nothing_for_the_next_one() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        opened = Connection(ACCESS, None)
        opened.sock = here
        with pytest.raises(ValueError, match="Invalid header"):
            opened.send_at_once("GET", "/x", None, {"A": "b\n"})
        opened.send(b"as it is")
        assert there.recv(1 << 16) == b"as it is"


def test_a_deadline_begins_without_waiting_for_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a thread runs up to 9 ms after its start."""
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("it waits until the thread runs"))
    with Deadline(5) as deadline:
        assert deadline.left > 4
