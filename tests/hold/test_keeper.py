"""The keeper: what outlives a daemon without systemd, and the handover to the next keeper."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from holdspace import ROOT, command, namespace, python, running

from nplconf.hold import handover
from nplconf.hold.client import ask
from nplconf.model import Holds, PortRange

pytestmark = pytest.mark.kernel
RANGE = PortRange(61000, 61019)
ALL_HELD = Holds(available=True, ranges=(RANGE,))
KEEPER = """
import sys
from nplconf.errors import NplconfError
from nplconf.hold.keeper import main
from nplconf.model import PortRange
try:
    sys.exit(main(PortRange(int(sys.argv[1]), int(sys.argv[2])), sys.argv[3], sys.argv[4]))
except NplconfError as error:
    sys.exit(sys.stderr.write(f"{error}\\n") and error.exit_code)
"""
INTRUDER = Path(__file__).parents[1] / "intruder.py"


@dataclass
class Node:
    """A network namespace, and a directory that all keepers share (on a node: a hostPath)."""

    space: str
    directory: Path
    keepers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def path(self) -> str:
        return str(self.directory / "hold.sock")

    def ready(self, number: int) -> Path:
        return self.directory / f"ready-{number}"

    def start(self, port_range: PortRange = RANGE, *, space: str | None = None, wait: bool = True) -> int:
        """Start one more keeper; its number."""
        number = len(self.keepers)
        ends = (port_range.first, port_range.last, self.path, self.ready(number))
        with (self.directory / "log").open("ab") as log:
            arguments = command(space or self.space, KEEPER, *ends)
            self.keepers.append(subprocess.Popen(arguments, cwd=ROOT, stderr=log))
        if wait:
            self.until(self.ready(number).exists)
        return number

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < end, self.log()
            time.sleep(0.01)

    def stop(self, number: int, how: int = signal.SIGTERM) -> int:
        self.keepers[number].send_signal(how)
        return self.keepers[number].wait(15)

    def daemons(self, number: int) -> tuple[int, ...]:
        """The processes that a keeper has started: one, and none between the end of one and the start of the next."""
        pid = self.keepers[number].pid
        return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def ask(self, port_range: PortRange = RANGE) -> Holds:
        return ask(self.path, port_range)

    def log(self) -> str:
        return (self.directory / "log").read_text()

    @contextlib.contextmanager
    def nobody_gets_a_number(self, first: int = RANGE.first, last: int = RANGE.last) -> Iterator[None]:
        """Another program tries to bind every number, in every way, until the block has ended: it never succeeds."""
        until = self.directory / "enough"
        arguments = ["ip", "netns", "exec", self.space, sys.executable, str(INTRUDER)]
        arguments += [str(first), str(last), str(until)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as intruder:
            try:
                time.sleep(0.3)  # an interpreter starts
                yield
            finally:
                until.touch()
            printed, _ = intruder.communicate(timeout=60)
            until.unlink()
        found = json.loads(printed)
        assert (found["got"], found["tried"] > 0) == ([], True)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with namespace() as space:
        one = Node(space, tmp_path)
        yield one
        for process in one.keepers:
            process.kill()
            process.wait()


def _kill_daemon(node: Node, first: int) -> None:
    """Kill the daemon of a keeper, and wait for the next one."""
    (dead,) = node.daemons(first)
    os.kill(dead, signal.SIGKILL)
    node.until(lambda: node.daemons(first) not in {(dead,), ()} and node.ready(first).exists())


def test_a_daemon_that_is_killed_again_and_again_leaves_no_number_free(node: Node) -> None:
    first = node.start()
    with node.nobody_gets_a_number():
        for _ in range(20):
            _kill_daemon(node, first)
            assert node.ask() == ALL_HELD
    assert node.log().count("40 sockets were kept through the restart") == 20
    assert node.log().count("the daemon ended (signal SIGKILL)") == 20


def test_one_keeper_after_another_takes_over_and_no_number_is_free_in_between(node: Node) -> None:
    before = node.start()
    with node.nobody_gets_a_number():
        for _ in range(4):
            after = node.start()
            assert not node.ready(before).exists()
            assert node.ask() == ALL_HELD
            assert node.stop(before) == 0
            assert node.ask() == ALL_HELD
            before = after
    assert node.stop(before) == 0
    assert [path.name for path in node.directory.iterdir()] == ["log"]


def test_a_question_in_the_middle_of_a_handover_is_answered(node: Node) -> None:
    node.start()
    answers = []
    for _ in range(4):
        after = node.start(wait=False)
        while not node.ready(after).exists():
            answers.append(node.ask())
    assert len(answers) > 4
    assert set(answers) == {ALL_HELD}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_where_the_new_keeper_ends_the_old_one_resumes(node: Node, how: int) -> None:
    first = node.start()
    with node.nobody_gets_a_number():
        second = node.start()
        node.stop(second, how)
        # a keeper that is asked to end removes the socket only where nobody else uses it
        node.until(node.ready(first).exists)
        assert node.ask() == ALL_HELD
        third = node.start()
        node.stop(first)
        assert node.ask() == ALL_HELD
        assert node.ready(third).exists()


def test_the_keeper_in_the_middle_ends_and_the_first_does_not_resume_beside_the_third(node: Node) -> None:
    first, second, third = node.start(), node.start(), node.start()
    node.stop(second)
    time.sleep(0.5)
    assert [node.ready(number).exists() for number in (first, second, third)] == [False, False, True]
    node.stop(third, signal.SIGKILL)
    node.until(node.ready(first).exists)
    assert node.ask() == ALL_HELD


def test_a_new_range_keeps_what_both_have(node: Node) -> None:
    first = node.start()
    other = PortRange(61010, 61029)
    with node.nobody_gets_a_number(61010, 61019):
        second = node.start(other)
        node.stop(first)
    assert node.ask(other) == Holds(available=True, ranges=(other,))
    assert python(node.space, "import socket; socket.create_server(('', 61001)); print('free')") == "free"
    node.stop(second)


def test_a_successor_that_cannot_start_leaves_everything_as_it_was(node: Node) -> None:
    first = node.start()
    code = KEEPER.replace("try:", "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\ntry:", 1)
    with node.nobody_gets_a_number():
        ends = (RANGE.first, RANGE.last, node.path, node.ready(9))
        failed = subprocess.run(command(node.space, code, *ends), capture_output=True, text=True, cwd=ROOT, check=False)
        assert (failed.returncode, "open files" in failed.stderr) == (78, True)
        node.until(node.ready(first).exists)
        assert node.ask() == ALL_HELD


def test_a_keeper_of_another_network_is_refused(node: Node) -> None:
    first = node.start()
    with namespace() as other, node.nobody_gets_a_number():
        second = node.start(space=other, wait=False)
        assert node.keepers[second].wait(15) == 78
        node.until(node.ready(first).exists)
        assert node.ask() == ALL_HELD
    assert "another network namespace. Fix: hostNetwork: true" in node.log()


@pytest.mark.parametrize("words", [b"", b"handover 2\n", b"x" * 500])
def test_any_other_request_to_the_keeper_gets_nothing(node: Node, words: bytes) -> None:
    first = node.start()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(node.path + handover.SUFFIX)
        sock.sendall(words)
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(100) == b""
    assert node.ask() == ALL_HELD
    assert node.ready(first).exists()


def test_the_socket_of_the_keeper_is_for_root_alone(node: Node) -> None:
    node.start()
    assert Path(node.path + handover.SUFFIX).stat().st_mode & 0o777 == 0o600


def test_a_keeper_that_is_killed_takes_its_daemon_along_and_the_next_one_begins_anew(node: Node) -> None:
    first = node.start()
    node.stop(first, signal.SIGKILL)
    node.until(lambda: not node.ask().available)
    second = node.start()
    assert node.ask() == ALL_HELD
    assert node.stop(second) == 0


def test_a_first_daemon_that_cannot_hold_the_range_ends_the_keeper_with_its_exit_code(node: Node) -> None:
    code = KEEPER.replace("try:", "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\ntry:", 1)
    ends = (RANGE.first, 61999, node.path, node.ready(9))
    failed = subprocess.run(command(node.space, code, *ends), capture_output=True, text=True, cwd=ROOT, check=False)
    assert (failed.returncode, "Traceback" in failed.stderr) == (78, False)
    assert [path.name for path in node.directory.iterdir()] == []


def test_connections_and_a_foreign_number_are_not_touched(node: Node) -> None:
    """A number that another program has stays with it through a handover, and is held as soon as it is free."""
    taken = "import socket, sys; s = socket.create_server(('', 61003)); print('ready', flush=True); sys.stdin.read()"
    with running(node.space, taken):
        first = node.start()
        second = node.start()
        node.stop(first)
        assert [entry.number for entry in node.ask().taken] == [61003]
    assert node.ask() == ALL_HELD
    (daemon,) = node.daemons(second)
    os.kill(daemon, signal.SIGKILL)
    node.until(lambda: node.ask() == ALL_HELD)
    assert "40 sockets were kept through the restart" in node.log()
