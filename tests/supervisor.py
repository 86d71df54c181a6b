"""The parts of systemd that the hold daemon uses: a notify socket, a file descriptor store, and a start with them."""

import contextlib
import os
import select
import socket
import subprocess
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from holdspace import ROOT, command

from nplconf.hold import store
from nplconf.hold.client import ask
from nplconf.model import Holds, PortRange

START = """
import fcntl, os, sys
from nplconf.hold.daemon import main
from nplconf.model import PortRange
first, last, path, handed, names = sys.argv[1:]
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 500) for fd in handed.split()]
for place, fd in enumerate(fds):
    os.dup2(fd, 3 + place); os.close(fd)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": names}
sys.exit(main(PortRange(int(first), int(last)), path))
"""


@dataclass
class Supervisor:
    """Runs one hold daemon in a namespace, again and again, and keeps what it is given."""

    space: str
    directory: Path
    port_range: PortRange
    notifications: list[str] = field(default_factory=list)
    """Every message, without those of the store."""
    kept: list[tuple[str, int]] = field(default_factory=list)
    """(name, fd): the store."""
    keeps: bool = True
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(self.directory / "notify"))
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._stop.close()
        self._thread.join()
        for end in (self._sock, self._stopped, self.listener):
            end.close()
        self.drop()

    @property
    def path(self) -> str:
        """Where the daemon is asked."""
        return str(self.directory / "hold.sock")

    def ask(self) -> Holds:
        """Its answer."""
        return ask(self.path, self.port_range)

    def drop(self) -> None:
        """Lose the store, as systemd does when the unit is stopped."""
        while self.kept:
            os.close(self.kept.pop()[1])

    def start(self, *, ready: bool = True) -> None:
        """Start the daemon with the socket and the store; wait for READY=1 when asked to."""
        handed = [("nplconf-hold.socket", self.listener.fileno()), *self.kept]
        fds = [fd for _, fd in handed]
        names = ":".join(name for name, _ in handed)
        ends = (self.port_range.first, self.port_range.last, self.path)
        arguments = command(self.space, START, *ends, " ".join(map(str, fds)), names)
        environment = os.environ | {"NOTIFY_SOCKET": str(self.directory / "notify")}
        self.notifications.clear()
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(arguments, cwd=ROOT, env=environment, pass_fds=fds, stderr=log)
        if ready:
            self.hears("READY=1")

    def hears(self, text: str) -> None:
        """Wait until the daemon tells so."""
        until = time.monotonic() + 20
        while not any(text in output for output in self.notifications):
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < until, self.notifications
            time.sleep(0.01)

    def log(self) -> str:
        """Return everything that the daemon has logged."""
        return (self.directory / "log").read_text(encoding="utf-8")

    def kill(self) -> None:
        """Kill -9."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def _listen(self) -> None:
        while self._sock in select.select([self._sock, self._stopped], [], [])[0]:
            text, ancillary, _, _ = self._sock.recvmsg(4096, socket.CMSG_SPACE(64 * 4))
            fds = array("i")
            for _, _, data in ancillary:
                fds.frombytes(data)
            self._hear(text.decode().splitlines(), fds)

    def _hear(self, lines: Sequence[str], fds: Sequence[int]) -> None:
        name = next((line.removeprefix("FDNAME=") for line in lines if line.startswith("FDNAME=")), "stored")
        if "FDSTOREREMOVE=1" in lines:
            self.drop()
        elif "FDSTORE=1" in lines and self.keeps:
            assert "FDPOLL=0" in lines
            self.kept += [(name, fd) for fd in fds]
            return
        elif "BARRIER=1" not in lines:
            self.notifications.append("\n".join(lines))
        for fd in fds:
            os.close(fd)


@contextlib.contextmanager
def emptied(supervisor: Supervisor) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A queue of the test's own in place of what is kept: its (tail, head)."""
    supervisor.drop()
    tail, head = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with tail, head:
        yield tail, head
        supervisor.kept += [(store.NAME, os.dup(end.fileno())) for end in (head, tail)]
