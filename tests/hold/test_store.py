"""The queue of sockets: it is complete whenever its owner is killed, and a daemon takes it over."""

import contextlib
import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cputime
import pytest
from holdspace import ROOT, command, namespace, python, running
from supervisor import Supervisor, emptied

from nplconf.hold import store
from nplconf.hold.store import Store
from nplconf.model import Holds, PortRange, Taken

# --- the queue -------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """kill -9, as far as a test can: nothing handles it."""


@pytest.fixture
def files() -> Iterator[list[int]]:
    """Yield seven files to keep, which differ by their inodes."""
    opened = [tempfile.TemporaryFile() for _ in range(7)]  # noqa: SIM115
    yield [file.fileno() for file in opened]
    for file in opened:
        file.close()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    monkeypatch.setattr(store, "BATCH", 2)
    monkeypatch.setattr(store, "FRAGMENTS", 0)
    tail, head = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with tail, head:
        yield tail, head


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def again(ends: tuple[socket.socket, socket.socket], wanted: Callable[[int], bool] = lambda _: True) -> list[int]:
    """A new owner takes the queue over; the inodes that came back."""
    got: list[int] = []

    def keep(fds: Sequence[int]) -> list[int]:
        kept = [fd for fd in fds if wanted(inode(fd)) and inode(fd) not in got]
        got.extend(map(inode, kept))
        mine.extend(fds)
        return kept

    mine: list[int] = []
    owner = Store.inherited([os.dup(end.fileno()) for end in ends])
    assert owner is not None
    try:
        owner.take_over(keep)
    finally:
        owner.close()
        for fd in mine:
            os.close(fd)
    return got


def messages(head: socket.socket) -> int:
    """How many wait; the queue is empty afterwards."""
    count = 0
    while store._has_something(head):
        head.recv(1)
        count += 1
    return count


def test_every_stored_socket_can_be_read_repeatedly(
    queue: tuple[socket.socket, socket.socket], files: list[int]
) -> None:
    owner = Store(*(end.dup() for end in queue))
    owner.add(files)
    owner.close()
    for ends in (queue, queue[::-1], queue):  # systemd does not say which end is which
        assert again(ends) == [inode(fd) for fd in files]
    assert messages(queue[1]) == 4


def test_what_is_not_kept_leaves_the_queue(queue: tuple[socket.socket, socket.socket], files: list[int]) -> None:
    owner = Store(*(end.dup() for end in queue))
    owner.add(files)
    owner.close()
    inodes = [inode(fd) for fd in files]
    assert again(queue, lambda one: one in inodes[2:5]) == inodes[2:5]
    assert again(queue) == inodes[2:5]


def test_an_empty_queue_is_a_queue(queue: tuple[socket.socket, socket.socket]) -> None:
    assert again(queue) == []
    assert messages(queue[1]) == 0


def killed_after(patch: pytest.MonkeyPatch, limit: int) -> None:
    """Kill whoever takes a queue over after so many steps that change it."""
    steps = iter(range(limit))

    def killed_or(step: Callable[..., None]) -> Callable[..., None]:
        def stepped(*arguments: object) -> None:
            if next(steps, None) is None:
                raise Killed
            step(*arguments)

        return stepped

    for name in ("_send", "_take"):
        patch.setattr(Store, name, killed_or(getattr(Store, name)))


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("single", [False, True], ids=["full batches", "single files, which are joined"])
@pytest.mark.parametrize("limit", range(0, 24, 2))
def test_whenever_its_owner_is_killed_everything_is_in_the_queue(
    queue: tuple[socket.socket, socket.socket],
    files: list[int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    limit: int,
    single: bool,
    times: int,
) -> None:
    owner = Store(*(end.dup() for end in queue))
    for fd in files if single else ():
        owner._send([fd])
    owner.add([] if single else files)
    owner.close()
    for steps in range(limit, limit + times):
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            killed_after(patch, steps)
            again(queue)
    assert set(again(queue)) == {inode(fd) for fd in files}


def test_the_kill_in_that_test_hits_its_process(
    queue: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(monkeypatch, 0)
    with pytest.raises(Killed):
        again(queue)


def test_small_messages_are_joined(queue: tuple[socket.socket, socket.socket], files: list[int]) -> None:
    owner = Store(*(end.dup() for end in queue))
    for fd in files:
        owner.add([fd])
    owner.close()
    assert sorted(again(queue)) == sorted(inode(fd) for fd in files)
    assert messages(queue[1]) <= 2 * 4


def test_two_ends_of_different_pairs_are_no_queue() -> None:
    first, second = (socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2))
    with pytest.raises(OSError, match="temporarily unavailable"):
        again((first[0], second[0]))
    for end in (*first, *second):
        end.close()


@pytest.mark.parametrize("kind", ["none", "one", "three", "files", "stream", "not open"])
def test_what_is_not_two_ends_is_closed_and_no_queue(kind: str) -> None:
    tail, head = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stream = socket.socketpair()
    with tail, head, stream[0], stream[1], tempfile.TemporaryFile() as file:
        choices: dict[str, list[Any]] = {
            "none": [],
            "one": [head],
            "three": [head, tail, head],
            "files": [file, head],
            "stream": list(stream),
            "not open": [],
        }
        fds = [os.dup(end.fileno()) for end in choices[kind]]
        assert Store.inherited(fds) is None
        for fd in fds:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)


# --- the daemon ------------------------------------------------------------------------------------------------------

RANGE = PortRange(61000, 61299)
ALL_HELD = Holds(available=True, ranges=(RANGE,))
INTRUDER = """
import select, socket, sys, time
print("ready", flush=True)
S = socket
got, tries = [], 0
while not select.select([sys.stdin], [], [], 0.001)[0]:
    for number in range(61000, 61300):
        for kind in (S.SOCK_STREAM, S.SOCK_DGRAM):
            with S.socket(S.AF_INET, kind) as s:
                s.setsockopt(S.SOL_SOCKET, S.SO_REUSEADDR, 1); s.setsockopt(S.SOL_SOCKET, S.SO_REUSEPORT, 1)
                try: s.bind(("", number)); got.append(number)
                except OSError: pass
    tries += 1
print(tries, sorted(set(got)), flush=True)
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with namespace() as space, Supervisor(space, tmp_path, RANGE) as it:
        yield it


@pytest.mark.kernel
def test_no_number_is_free_for_a_moment_while_the_daemon_is_killed_again_and_again(supervisor: Supervisor) -> None:
    supervisor.start()
    assert supervisor.ask() == ALL_HELD
    assert [name for name, _ in supervisor.kept] == [store.NAME] * 2
    with running(supervisor.space, INTRUDER) as intruder:
        for wait in [random.Random(7).random() * 0.15 for _ in range(40)]:
            supervisor.kill()
            supervisor.start(ready=False)
            time.sleep(wait)
        supervisor.kill()
        supervisor.start()
        assert supervisor.ask() == ALL_HELD
        tries, got = intruder.communicate("end")[0].split(" ", 1)
    assert (got, int(tries) > 20) == ("[]\n", True)
    assert "600 sockets were kept through the restart" in supervisor.log()
    assert len(supervisor.kept) == 2


@pytest.mark.kernel
def test_stopping_the_unit_loses_the_store_and_the_next_start_binds_anew(supervisor: Supervisor) -> None:
    supervisor.start()
    supervisor.kill()
    supervisor.drop()
    with running(supervisor.space, "import socket; s = socket.create_server(('', 61007)); print('ready'); input()"):
        pass
    supervisor.start()
    assert supervisor.ask() == ALL_HELD
    assert len(supervisor.kept) == 2


@pytest.mark.kernel
def test_another_range_keeps_what_both_have_and_lets_the_rest_go(supervisor: Supervisor) -> None:
    supervisor.start()
    supervisor.kill()
    supervisor.port_range = PortRange(61200, 61399)
    supervisor.start()
    assert supervisor.ask() == Holds(available=True, ranges=(PortRange(61200, 61399),))
    assert "200 sockets were kept through the restart" in supervisor.log()
    assert python(supervisor.space, "import socket; socket.create_server(('', 61100)); print('free')") == "free"
    supervisor.kill()
    supervisor.start()
    assert "400 sockets were kept through the restart" in supervisor.log()


STOLEN = """
import socket, sys
s = socket.create_server(("", 61003)); print("ready", flush=True); sys.stdin.read()
"""


@pytest.mark.kernel
def test_a_number_that_is_bound_late_is_kept_from_then_on(supervisor: Supervisor) -> None:
    with running(supervisor.space, STOLEN):
        supervisor.start()
        assert supervisor.ask().taken == (Taken(61003, "tcp"),)
        supervisor.hears("STATUS=599 of 600 sockets of 61000-61299 held; not held: 61003/tcp")
    assert supervisor.ask() == ALL_HELD
    supervisor.hears("STATUS=600 of 600")
    supervisor.kill()
    supervisor.start()
    assert "600 sockets were kept through the restart" in supervisor.log()


WRONG = """
import socket, sys
from array import array
S = socket
def made(kind, number, *, only6=0, device=b"", option=None, address="::", family=S.AF_INET6):
    s = S.socket(family, kind)
    if family == S.AF_INET6: s.setsockopt(S.IPPROTO_IPV6, S.IPV6_V6ONLY, only6)
    if option: s.setsockopt(S.SOL_SOCKET, option, 1)
    s.bind((address, number))
    if device: s.setsockopt(S.SOL_SOCKET, S.SO_BINDTODEVICE, device)
    return s
T, U = S.SOCK_STREAM, S.SOCK_DGRAM
right = [made(T, 61000), made(U, 61000, device=b"lo")]
wrong = [made(T, 61001, only6=1), made(U, 61001, only6=1, device=b"lo"), made(U, 61002), made(T, 61003, device=b"lo"),
         made(T, 61004, option=S.SO_REUSEADDR), made(U, 61004, option=S.SO_REUSEPORT, device=b"lo"),
         made(T, 61005, address="::1"), made(U, 61005, address="::1", device=b"lo"),
         made(T, 61006, address="0.0.0.0", family=S.AF_INET), made(T, 61007), made(U, 61008, device=b"lo"),
         made(T, 62000), S.socket(S.AF_INET), S.socketpair()[0], open("/dev/null")]
wrong[9].listen()
wrong[10].connect(("::1", 9))
again = [right[0].dup(), right[1].dup(), right[0].dup()]
end = S.socket(fileno=int(sys.argv[1]))
for batch in ([], wrong[:8], right + wrong[8:], again):
    fds = array("i", [one.fileno() for one in batch])
    end.sendmsg([b"sockets"], [(S.SOL_SOCKET, S.SCM_RIGHTS, fds.tobytes())] if batch else [])
end.send(b"end of another run")
"""


@pytest.mark.kernel
def test_only_valid_sockets_are_adopted(supervisor: Supervisor) -> None:
    with emptied(supervisor) as (tail, _):
        run_with(supervisor.space, WRONG, tail)
    supervisor.start()
    assert "2 sockets were kept through the restart" in supervisor.log()
    assert supervisor.ask() == ALL_HELD
    assert len(list(Path(f"/proc/{supervisor.process and supervisor.process.pid}/fd").iterdir())) < 620
    supervisor.kill()
    supervisor.start()
    assert "600 sockets were kept through the restart" in supervisor.log()


@pytest.mark.kernel
def test_sockets_of_another_network_namespace_hold_nothing_here(supervisor: Supervisor) -> None:
    code = WRONG.replace("for batch in ([], wrong[:8], right + wrong[8:], again)", "for batch in (right,)")
    with namespace() as other, emptied(supervisor) as (tail, _):
        run_with(other, code, tail)
    supervisor.start()
    assert "0 sockets were kept through the restart" in supervisor.log()
    assert supervisor.ask() == ALL_HELD


@pytest.mark.kernel
@pytest.mark.parametrize("damage", ["one end", "two files", "strangers", "other words"])
def test_a_damaged_store_is_replaced_and_everything_held(supervisor: Supervisor, damage: str) -> None:
    supervisor.start()
    supervisor.kill()
    if damage == "one end":
        os.close(supervisor.kept.pop()[1])
    elif damage == "two files":
        supervisor.drop()
        supervisor.kept += [(store.NAME, os.open("/dev/null", os.O_RDONLY)) for _ in range(2)]
    elif damage == "strangers":
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.close(supervisor.kept.pop()[1])
        supervisor.kept.append((store.NAME, os.dup(pair[0].fileno())))
        for end in pair:
            end.close()
    else:
        with emptied(supervisor) as (tail, _):
            tail.send(b"x" * 5000)
            tail.send(b"sockets")
    supervisor.start()
    assert supervisor.ask() == ALL_HELD
    supervisor.kill()
    supervisor.start()
    assert "600 sockets were kept through the restart" in supervisor.log()
    assert len(supervisor.kept) == 2


@pytest.mark.kernel
def test_a_supervisor_that_keeps_nothing_is_no_reason_not_to_hold(supervisor: Supervisor) -> None:
    supervisor.keeps = False
    supervisor.start()
    assert supervisor.ask() == ALL_HELD


@pytest.mark.kernel
def test_8000_sockets_are_taken_over_at_once(supervisor: Supervisor) -> None:
    supervisor.port_range = PortRange(61000, 64999)
    supervisor.start()
    supervisor.kill()
    supervisor.start()
    assert supervisor.process
    seconds = cputime.spent_by(supervisor.process.pid)
    assert "8000 sockets were kept through the restart" in supervisor.log()
    assert seconds < 1  # 0.3 with the interpreter's start on an idle machine


def run_with(space: str, code: str, end: socket.socket) -> None:
    """Run code in the namespace; its argument is the number under which it has this socket."""
    fd = end.fileno()
    subprocess.run(command(space, code, fd), cwd=ROOT, pass_fds=[fd], check=True)
