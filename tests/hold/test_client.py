"""The client's result for a daemon's response, and for none; and the result of trying to bind."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from holdspace import daemon, namespace, python, running

from nplconf.hold import client as holds
from nplconf.hold import protocol
from nplconf.model import Holds, PortRange, Taken

RANGE = PortRange(61000, 61019)


@pytest.fixture
def saying(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """A daemon that answers one question with these bytes; returns its path."""
    threads: list[threading.Thread] = []

    def serve(listener: socket.socket, answer: bytes) -> None:
        with listener, listener.accept()[0] as sock:
            sock.recv(100)
            try:
                sock.sendall(answer)
            except OSError:
                return

    def start(answer: bytes) -> str:
        path = str(tmp_path / f"{len(threads)}.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        threads.append(threading.Thread(target=serve, args=(listener, answer)))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join()


def answer(**changed: object) -> bytes:
    whole = {"version": 1, "range": {"first": 61000, "last": 61019}, "held": 40, "taken": []}
    return json.dumps(whole | changed).encode()


def test_what_is_taken_is_reported_of_the_asked_range(saying: Callable[[bytes], str]) -> None:
    taken = [{"number": 61001, "protocol": "udp"}, {"number": 61011, "protocol": "tcp", "more": "later"}]
    path = saying(answer(taken=taken, more="later"))
    assert holds.ask(path, PortRange(61000, 61010)) == Holds(
        available=True, ranges=(RANGE,), taken=(Taken(61001, "udp"),)
    )


NOT_UNDERSTOOD = [
    b"",
    b"\0\xff",
    b"[]",
    b"{}" * 2,
    b"[" * 100_000,
    b'{"version": 1, "range": ' + b"9" * 5000 + b"}",
    answer(range=[61000, 61019]),
    answer(range={"first": 61019, "last": 61000}),
    answer(range={"first": 0, "last": 61000}),
    answer(range={"first": 61000, "last": 65536}),
    answer(range={"first": True, "last": 61000}),
    answer(range={"first": 61000.0, "last": 61019}),
    answer(taken=None),
    answer(taken=[61001]),
    answer(taken=[{"number": 61001}]),
    answer(taken=[{"number": 61001, "protocol": ["tcp"]}]),
    answer(taken=[{"number": 61001, "protocol": "dccp"}]),
    answer(protocols=7),
    answer(taken=[{"number": 61020, "protocol": "tcp"}]),
    answer(taken=[{"number": "61001", "protocol": "tcp"}]),
]


@pytest.mark.parametrize("rubbish", NOT_UNDERSTOOD, ids=lambda text: repr(text[:60]))
def test_invalid_data_is_no_response(saying: Callable[[bytes], str], rubbish: bytes) -> None:
    got = holds.ask(saying(rubbish), RANGE)
    assert (got.available, got.taken, got.ranges) == (False, (), ())
    assert got.message.endswith("its answer is not understood")


@pytest.mark.parametrize("version", [2, 0, "1", None, [1]])
def test_another_version_says_what_to_restart(saying: Callable[[bytes], str], version: object) -> None:
    got = holds.ask(saying(answer(version=version)), RANGE)
    assert not got.available
    assert got.message.endswith("it speaks another version: restart nplconf-hold.service")


def test_a_daemon_that_does_not_know_the_question_says_what_to_restart(saying: Callable[[bytes], str]) -> None:
    got = holds.ask(saying(b'{"version": 1, "error": "what?"}\n'), RANGE)
    assert not got.available
    assert "does not understand the question" in got.message


def test_an_answer_without_end_is_cut(saying: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_ANSWER", 100_000)
    got = holds.ask(saying(b"[" * 10_000_000), RANGE)
    assert not got.available
    assert "longer than 100000 bytes" in got.message


@pytest.mark.parametrize("drip", [False, True], ids=["silent", "one byte at a time"])
def test_a_stuck_daemon_is_left_at_the_deadline(tmp_path: Path, drip: bool) -> None:  # noqa: FBT001
    path = str(tmp_path / "s")
    done = threading.Event()

    def serve() -> None:
        # the one who asked may be gone a moment before it says so
        with contextlib.suppress(BrokenPipeError), listener.accept()[0] as sock:
            while not done.wait(0.05):
                if drip:
                    sock.send(b" ")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        got = holds.ask(path, RANGE, deadline=0.3)
        seconds = time.monotonic() - began
        done.set()
        thread.join()
    assert (got.available, "gives no answer in time" in got.message) == (False, True)
    assert 0.25 < seconds < 1


def test_a_daemon_whose_queue_is_full_is_left_at_the_deadline(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        got = holds.ask(path, RANGE, deadline=0.2)
    assert (got.available, "gives no answer in time" in got.message) == (False, True)


@pytest.mark.parametrize("path", ["/nowhere/hold.sock", "/proc/version", "/tmp", "x" * 300, "a\0b", ""])
def test_a_path_without_a_daemon_is_a_message_that_names_it(path: str) -> None:
    got = holds.ask(path, RANGE)
    assert not got.available
    assert path in got.message


@pytest.mark.kernel
def test_a_daemon_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    with namespace() as space:
        code = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print("ready", flush=True); sys.stdin.read()
"""
        for directory in tmp_path.parents:
            if str(directory).startswith("/tmp/"):
                directory.chmod(0o755)
        tmp_path.chmod(0o777)
        with running(space, code, tmp_path / "s"):
            got = holds.ask(str(tmp_path / "s"), RANGE)
    assert (got.available, "user 65534 runs it" in got.message) == (False, True)


PROBE = """
import time
from nplconf.model import PortRange
from nplconf.hold.client import probe
from nplconf.node.owners import named
began = time.process_time()
got = probe(PortRange({}, {}))
print(time.process_time() - began)
print(*((taken.number, taken.protocol) for taken in named(got, [taken.number for taken in got.taken]).taken), sep="\\n")
"""


@pytest.mark.kernel
@pytest.mark.parametrize("only_ipv6", [0, 1])
def test_probing_finds_what_cannot_be_bound_just_now_and_keeps_nothing(only_ipv6: int) -> None:
    code = """
import socket, sys
a = socket.create_server(("127.0.0.1", 61003))
b = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); b.bind(("::1", 61004))
c = socket.create_server(("", 61005))
print("ready", flush=True); sys.stdin.read()
"""
    with namespace() as space, running(space, code):
        # with 1, a socket of `::` has no IPv4 unless it sets IPV6_V6ONLY to 0
        python(space, f"from pathlib import Path; Path('/proc/sys/net/ipv6/bindv6only').write_text('{only_ipv6}')")
        for _ in range(2):
            _, *taken = python(space, PROBE.format(61000, 61019)).splitlines()
            assert taken == ["(61003, 'tcp')", "(61004, 'udp')", "(61005, 'tcp')"]


@pytest.mark.kernel
def test_probing_ten_thousand_numbers_takes_less_than_a_second_of_processor_time() -> None:
    with namespace() as space:
        seconds, *taken = python(space, PROBE.format(50000, 59999)).splitlines()
        assert taken == []
        assert float(seconds) < 1  # 0.2 on an idle machine


@pytest.mark.kernel
def test_numbers_of_the_daemon_are_taken_for_a_probe(tmp_path: Path) -> None:
    with namespace() as space, daemon(space, str(tmp_path / "s"), RANGE):
        _, *taken = python(space, PROBE.format(61018, 61021)).splitlines()
    assert taken == ["(61018, 'tcp')", "(61018, 'udp')", "(61019, 'tcp')", "(61019, 'udp')"]
