"""The daemon with clients, a supervisor and a second daemon."""

import contextlib
import fcntl
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cputime
import pytest
from holdspace import ROOT, Daemon, command, daemon, namespace, python, start
from supervisor import Supervisor

from nplconf.hold import protocol
from nplconf.hold.daemon import Server
from nplconf.hold.sockets import Holding
from nplconf.model import Holds, PortRange
from nplconf.run.observed import held

pytestmark = pytest.mark.kernel
RANGE = PortRange(61000, 61019)
ALL_HELD = Holds(available=True, ranges=(RANGE,))


@pytest.fixture
def space() -> Iterator[str]:
    with namespace() as name:
        yield name


@pytest.fixture
def one(space: str, tmp_path: Path) -> Iterator[Daemon]:
    with daemon(space, str(tmp_path / "run" / "hold.sock"), RANGE) as it:
        yield it


def said_by(path: str, question: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(path)
        sock.sendall(question)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def test_the_socket_file_is_for_root_alone(one: Daemon) -> None:
    assert stat.S_IMODE(Path(one.path).stat().st_mode) == 0o600
    assert one.ask() == ALL_HELD


def test_another_user_is_not_answered_whatever_the_file_allows(one: Daemon) -> None:
    Path(one.path).chmod(0o666)
    for directory in Path(one.path).parents:
        if str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    code = f"""
import os, socket
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect({one.path!r})
try: s.send(b"holds 1\\n"); print(s.recv(100))
except OSError as error: print(type(error).__name__)
"""
    assert python(one.space, code) in ("b''", "ConnectionResetError", "BrokenPipeError")
    assert one.ask() == ALL_HELD


@pytest.mark.parametrize(
    "question", [b"holds 2\n", b"\n", b"holds 1 and more\n", b"\0" * 64, b"x" * 5000, b"GET / HTTP/1.1\r\n\r\n"]
)
def test_an_invalid_request_is_answered_with_the_valid_form(one: Daemon, question: bytes) -> None:
    try:
        output = said_by(one.path, question)
    except (ConnectionResetError, BrokenPipeError):  # it reads 64 bytes, and not what comes after
        assert len(question) > protocol.MAX_QUESTION
    else:
        assert output == protocol.not_understood()
    assert one.ask() == ALL_HELD


def test_a_question_in_pieces_is_understood(one: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(one.path)
        for letter in protocol.QUESTION + b"\n":
            sock.send(bytes([letter]))
            time.sleep(0.002)
        assert json.loads(sock.recv(1000))["held"] == 40


def test_a_silent_client_delays_no_other_and_is_dropped(one: Daemon) -> None:
    silent = [socket.socket(socket.AF_UNIX) for _ in range(60)]
    for sock in silent:
        sock.connect(one.path)
    began = time.monotonic()
    assert one.ask() == ALL_HELD
    assert time.monotonic() - began < 1
    for sock in silent:
        sock.settimeout(5)
        assert sock.recv(1) == b""
        sock.close()
    assert time.monotonic() - began < 4
    assert len(list(Path(f"/proc/{one.process.pid}/fd").iterdir())) < 40 + 12


def test_a_client_that_does_not_read_delays_no_other(space: str, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    wide = PortRange(50000, 53999)
    with daemon(space, str(tmp_path / "first"), wide), daemon(space, path, wide) as second:
        assert min(_seconds_beside_a_deaf_client(second, 8000) for _ in range(3)) < 1


def _seconds_beside_a_deaf_client(asked: Daemon, taken: int) -> float:
    """Ask while a client, which asked first, does not read its response. The seconds until the own response."""
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.connect(asked.path)
        deaf.sendall(protocol.QUESTION + b"\n")
        began = time.monotonic()
        assert len(asked.ask().taken) == taken
        return time.monotonic() - began


class SlowHolding(Holding):
    """Binds longer than a client may take."""

    def bind_missing(self) -> list[int]:
        time.sleep(0.3)
        return []


def test_the_time_that_the_daemon_takes_does_not_count_for_its_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nplconf.hold.daemon.PATIENCE", 0.1)
    path = str(tmp_path / "s")
    stop, stopped = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as listener, stop, stopped:
        listener.bind(path)
        listener.listen()
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for client in clients:
            client.connect(path)
            client.sendall(protocol.QUESTION + b"\n")
        thread = threading.Thread(target=Server(listener, SlowHolding(RANGE)).serve, args=(stopped,))
        thread.start()
        responses = []
        for client in clients:
            with client, client.makefile("rb") as response, contextlib.suppress(ConnectionResetError):
                responses.append(json.loads(response.read() or b"null"))
        stop.send(b"x")
        thread.join()
    assert [response and response["version"] for response in responses] == [1, 1, 1]


def test_a_daemon_that_could_bind_nothing_answers_all_the_same(space: str, tmp_path: Path) -> None:
    with daemon(space, str(tmp_path / "first"), RANGE) as first, daemon(space, str(tmp_path / "s"), RANGE) as second:
        assert first.ask() == ALL_HELD
        assert second.ask().available
        assert held(second.ask()) == frozenset()
        assert len(second.ask().taken) == 40
        first.end(signal.SIGKILL)
        assert second.ask() == ALL_HELD


def test_a_dead_daemons_file_is_replaced(one: Daemon) -> None:
    one.end(signal.SIGKILL)
    assert Path(one.path).exists()
    assert not one.ask().available
    with daemon(one.space, one.path, RANGE) as next_one:
        assert next_one.ask() == ALL_HELD


def test_a_living_daemon_is_not_displaced(one: Daemon) -> None:
    second = start(one.space, one.path, RANGE)
    _, output = second.process.communicate(timeout=10)
    assert (second.process.returncode, output) == (75, f"another hold daemon has {one.path}\n")
    assert one.ask() == ALL_HELD


def test_of_two_daemons_that_start_at_once_one_lives(space: str, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    Path(path).touch()
    Path(path).unlink()
    both = [start(space, path, RANGE) for _ in range(2)]
    until = time.monotonic() + 10
    while all(it.process.poll() is None for it in both):
        assert time.monotonic() < until
        time.sleep(0.02)
    loser = next(it for it in both if it.process.poll() is not None)
    winner = next(it for it in both if it is not loser)
    assert loser.process.returncode == 75
    assert winner.ask().available
    assert held(winner.ask()) == frozenset(range(61000, 61020))
    assert winner.end() == 0
    for it in both:
        it.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_every_number_free(one: Daemon, number: int) -> None:
    assert one.end(number) == 0
    assert not Path(one.path).exists()
    assert python(one.space, "import socket; socket.create_server(('', 61003)); print('free')") == "free"


def test_a_file_that_is_not_its_own_is_left_at_the_end(one: Daemon) -> None:
    Path(one.path).unlink()
    Path(one.path).write_text("somebody's", encoding="ascii")
    assert one.end() == 0
    assert Path(one.path).read_text(encoding="ascii") == "somebody's"


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link", "long"])
def test_a_path_that_cannot_be_a_socket_is_bad_configuration(space: str, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "here"
    if kind == "file":
        path.write_text("kept", encoding="ascii")
    elif kind == "directory":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path = tmp_path / ("x" * 200)
    it = start(space, str(path), RANGE)
    _, output = it.process.communicate(timeout=10)
    assert (it.process.returncode, str(path) in output) == (78, True), output
    assert kind != "file" or path.read_text(encoding="ascii") == "kept"


def test_a_range_beyond_the_open_file_limit_ends_with_78(space: str, tmp_path: Path) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))

    code = "import sys\nfrom nplconf.hold.daemon import main\nfrom nplconf.model import PortRange\n"
    code += "from nplconf.errors import BadConfigError\n"
    code += f"try: main(PortRange(50000, 52100), {str(tmp_path / 's')!r})\n"
    code += "except BadConfigError as error: print(error); sys.exit(78)"
    run = subprocess.run(command(space, code), cwd=ROOT, preexec_fn=few, capture_output=True, text=True, check=False)
    assert (run.returncode, "50000-52100 needs 4266 open files" in run.stdout) == (78, True), run


def test_the_default_range_is_held_soon_and_in_little_memory(space: str, tmp_path: Path) -> None:
    with daemon(space, str(tmp_path / "s"), PortRange(61000, 62000)) as it:
        seconds = cputime.spent_by(it.process.pid)
        status = Path(f"/proc/{it.process.pid}/status").read_text(encoding="ascii")
        kib = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    assert kib < 20_000
    assert seconds < 1  # 0.1 with the interpreter's start, on an idle machine


def test_systemd_hands_over_a_socket_which_is_used_and_left(space: str, tmp_path: Path) -> None:
    with Supervisor(space, tmp_path, RANGE) as supervisor:
        supervisor.start()
        assert supervisor.notifications == ["READY=1\nSTATUS=40 of 40 sockets of 61000-61019 held"]
        assert supervisor.ask() == ALL_HELD
        assert supervisor.process is not None
        supervisor.process.terminate()
        assert supervisor.process.wait(10) == 0
        assert Path(supervisor.path).exists()
    assert supervisor.notifications[-1] == "STOPPING=1"


def test_the_daemon_imports_the_model_and_errors_alone() -> None:
    code = "import sys, nplconf.hold.daemon; print(*sorted(m for m in sys.modules if m.startswith('nplconf')))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {".".join(name.split(".")[:2]) for name in run.stdout.split() if not name.startswith("nplconf.hold")}
    assert ours == {"nplconf", "nplconf.errors", "nplconf.model"}


def test_who_may_only_read_the_directory_cannot_keep_the_daemon_from_starting(space: str, tmp_path: Path) -> None:
    path = tmp_path / "run" / "hold.sock"
    path.parent.mkdir(mode=0o755)
    handle = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with daemon(space, str(path), RANGE) as it:
            assert it.ask() == ALL_HELD
            assert [entry.name for entry in path.parent.iterdir()] == ["hold.sock"]
    finally:
        os.close(handle)


@pytest.mark.parametrize(("mode", "owner"), [(0o644, 0), (0o660, 0), (0o600, 65534)])
def test_a_lock_that_other_users_can_open_is_refused_with_the_fix(
    space: str, tmp_path: Path, mode: int, owner: int
) -> None:
    lock = tmp_path / ".nplconf-hold.lock"
    lock.touch()
    lock.chmod(mode)
    os.chown(lock, owner, owner)
    refused = start(space, str(tmp_path / "hold.sock"), RANGE).process
    _, output = refused.communicate(timeout=30)
    assert (refused.returncode, f"Fix: rm {lock}" in output) == (78, True), output
