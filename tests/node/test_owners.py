"""The processes that have taken ports, from /proc."""

import pytest
from holdspace import namespace, python, running

from nplconf.model import Holds, PortRange, Taken
from nplconf.node.owners import named

FOREIGN = """
import socket, sys
open("/proc/self/comm", "w").write(sys.argv[1])
a = socket.create_server(("127.0.0.1", 61003))
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(("::1", 61004))
c = socket.create_connection(("127.0.0.1", 61003))
s = socket.create_server(("127.0.0.1", 61005))
client = socket.create_connection(("127.0.0.1", 61005)); accepted, _ = s.accept()
s.close(); accepted.close(); client.recv(1); client.close()
print("ready", flush=True); sys.stdin.read()
"""
NAMES = """
from nplconf.model import PortRange
from nplconf.hold import client as holds
from nplconf.node import owners
got = holds.probe(PortRange(61000, 61010))
for taken in owners.named(got, {61003, 61004, 61005}).taken: print(taken.number, taken.protocol, ascii(taken.by))
"""


@pytest.mark.kernel
def test_a_taken_number_is_named_by_command_and_pid() -> None:
    with namespace() as space, running(space, FOREIGN, "nginx") as program:
        lines = python(space, NAMES).splitlines()
        pid = program.pid
    assert lines == [
        f"61003 tcp 'nginx[{pid}]'",
        f"61004 udp 'nginx[{pid}]'",
        "61005 tcp 'a closed connection (TIME_WAIT)'",
    ]


@pytest.mark.kernel
def test_a_command_name_cannot_act_on_a_terminal() -> None:
    with namespace() as space, running(space, FOREIGN, "a\x1b[2J\nb\x9b") as program:
        line = python(space, NAMES).splitlines()[0]
        pid = program.pid
    assert line == f"61003 tcp 'a?[2J?b?[{pid}]'"


def test_processes_are_not_searched_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nplconf.node.owners._inodes", lambda _: pytest.fail("looked"))
    got = Holds(available=True, ranges=(PortRange(1, 9),), taken=(Taken(5, "tcp"), Taken(6, "udp", "nginx[1]")))
    assert named(got, {6, 7}) is got
