"""Held ports as seen by an intruder, a client, and an earlier server, in their own namespaces."""

import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdspace import Daemon, daemon, namespace, python, running

from nplconf.model import PortRange, Taken

pytestmark = pytest.mark.kernel
RANGE = PortRange(61000, 61019)

INTRUDER = """
import itertools, json, socket, sys
S = socket
number, devices = int(sys.argv[1]), sys.argv[2].split(",")
kinds = {"tcp": S.SOCK_STREAM, "udp": S.SOCK_DGRAM}
places = [(S.AF_INET, "0.0.0.0", 0), (S.AF_INET, "127.0.0.1", 0), (S.AF_INET, "10.9.9.1", 0),
          (S.AF_INET6, "::", 0), (S.AF_INET6, "::", 1), (S.AF_INET6, "::1", 1), (S.AF_INET6, "fd99::1", 1),
          (S.AF_INET6, "::ffff:10.9.9.1", 0)]
options = [(S.SOL_SOCKET, S.SO_REUSEADDR), (S.SOL_SOCKET, S.SO_REUSEPORT), (S.SOL_IP, S.IP_TRANSPARENT),
           (S.SOL_IP, 15), (S.SOL_IP, 24)]   # 15 IP_FREEBIND, 24 IP_BIND_ADDRESS_NO_PORT
got = []
for (name, kind), (family, address, only6), chosen, device in itertools.product(
        kinds.items(), places, itertools.product((0, 1), repeat=len(options)), devices):
    with S.socket(family, kind) as s:
        if family == S.AF_INET6: s.setsockopt(S.IPPROTO_IPV6, S.IPV6_V6ONLY, only6)
        for (level, option), value in zip(options, chosen):
            if value: s.setsockopt(level, option, 1)
        if device: s.setsockopt(S.SOL_SOCKET, S.SO_BINDTODEVICE, device.encode())
        try:
            s.bind((address, number))
            got.append((name, address, device))
        except OSError:
            pass
print(json.dumps(got))
"""
CLIENT = """
import socket, sys
address, kind = sys.argv[1], sys.argv[2]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(1)
try:
    s.connect((address, 61003)); s.send(b"x"); s.recv(1)
    print("answered")
except ConnectionRefusedError: print("refused")
except TimeoutError: print("silence")
"""


@pytest.fixture
def space() -> Iterator[str]:
    with namespace() as name:
        yield name


@pytest.fixture
def wired(space: str) -> Iterator[tuple[str, str]]:
    """(the node's namespace, a client's), joined by n0 with 10.9.9.1 and fd99::1, and a second device n1."""
    with namespace() as client:
        for ends in (("n0", "c0"), ("n1", "c1")):
            link = f"ip link add {ends[0]} netns {space} type veth peer name {ends[1]} netns {client}"
            subprocess.run(link.split(), check=True)
        for name, device, host in ((space, "n0", 1), (client, "c0", 2)):
            subprocess.run(f"ip -n {name} addr add 10.9.9.{host}/24 dev {device}".split(), check=True)
            subprocess.run(f"ip -n {name} addr add fd99::{host}/64 dev {device} nodad".split(), check=True)
            subprocess.run(f"ip -n {name} link set {device} up".split(), check=True)
        yield space, client


@pytest.fixture
def held(wired: tuple[str, str], tmp_path: Path) -> Iterator[Daemon]:
    with daemon(wired[0], str(tmp_path / "hold.sock"), RANGE) as one:
        yield one


def test_no_bind_with_any_socket_option_gets_a_held_number(held: Daemon) -> None:
    assert held.ask().taken == ()
    got = json.loads(python(held.space, INTRUDER, 61003, ",lo"))
    assert got == []


def test_the_intruder_of_that_test_gets_a_number_that_is_not_held(held: Daemon) -> None:
    got = json.loads(python(held.space, INTRUDER, 61020, ",lo"))
    assert {(name, address) for name, address, _ in got} >= set(itertools.product(("tcp", "udp"), ("::", "0.0.0.0")))


def test_only_udp_with_a_device_of_its_own_can_be_bound_beside_a_held_number(held: Daemon) -> None:
    got = json.loads(python(held.space, INTRUDER, 61003, "n0"))
    assert got
    assert {name for name, _, _ in got} == {"udp"}


@pytest.mark.parametrize("address", ["10.9.9.1", "fd99::1"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_client_outside_is_refused_at_once(held: Daemon, wired: tuple[str, str], address: str, kind: str) -> None:
    assert python(wired[1], CLIENT, address, kind) == "refused"
    assert held.ask().available


def test_a_local_client_is_refused_but_for_udp_to_loopback(held: Daemon) -> None:
    for address, kind in itertools.product(("10.9.9.1", "fd99::1", "127.0.0.1", "::1"), ("tcp", "udp")):
        loopback_udp = kind == "udp" and address in ("127.0.0.1", "::1")
        assert python(held.space, CLIENT, address, kind) == ("silence" if loopback_udp else "refused")


FOREIGN = """
import socket, sys
S = socket
address, kind, device, options, listen = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4].split(), sys.argv[5]
s = S.socket(S.AF_INET6 if ":" in address else S.AF_INET, S.SOCK_STREAM if kind == "tcp" else S.SOCK_DGRAM)
for option in options: s.setsockopt(S.SOL_SOCKET, getattr(S, option), 1)
if address == "::": s.setsockopt(S.IPPROTO_IPV6, S.IPV6_V6ONLY, 1)
if ":" in address: s.setsockopt(S.IPPROTO_IPV6, 78, 1)   # IPV6_FREEBIND: ::1 is not of every device
if device: s.setsockopt(S.SOL_SOCKET, S.SO_BINDTODEVICE, device.encode())
s.bind((address, 61003))
if listen == "listen": s.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("options", ["", "SO_REUSEADDR", "SO_REUSEADDR SO_REUSEPORT"])
@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::", "::1"])
@pytest.mark.parametrize(
    ("kind", "device", "listen"),
    [("tcp", "", "listen"), ("tcp", "", "bound"), ("tcp", "n1", "listen"), ("udp", "", ""), ("udp", "n1", "")],
)
def test_a_number_that_a_foreign_socket_has_is_taken(
    wired: tuple[str, str], tmp_path: Path, kind: str, device: str, listen: str, address: str, options: str
) -> None:
    with (
        running(wired[0], FOREIGN, address, kind, device, options, listen),
        daemon(wired[0], str(tmp_path / "s"), RANGE) as one,
    ):
        assert one.ask().taken == (Taken(61003, kind),)  # type: ignore[arg-type]


def test_a_taken_number_is_bound_at_a_request_after_it_became_free(space: str, tmp_path: Path) -> None:
    foreign = running(space, FOREIGN, "0.0.0.0", "tcp", "", "", "listen")
    with foreign as program, daemon(space, str(tmp_path / "s"), RANGE) as one:
        assert one.ask().taken == (Taken(61003, "tcp"),)
        program.kill()
        program.wait()
        assert one.ask().taken == ()
        assert json.loads(python(space, INTRUDER, 61003, "")) == []


CLOSED = """
import socket, sys
at, first_closes = sys.argv[1], sys.argv[2]
with socket.create_server((at, 61003), family=socket.AF_INET6 if ":" in at else socket.AF_INET) as server:
    client = socket.create_connection((at, 61003))
    accepted, _ = server.accept()
    accepted.close(); client.recv(1); client.close()
held = []
if sys.argv[2] != "alone":
    s = socket.socket(socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in sys.argv[2]: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((sys.argv[2], 61003))
print("ready", flush=True)
if sys.stdin.read(1) == "l":
    try: s.listen(); print("listens", flush=True)
    except OSError: print("refused", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("at", ["127.0.0.1", "::1"])
def test_a_port_in_time_wait_only_is_held_exclusively(space: str, tmp_path: Path, at: str) -> None:
    with running(space, CLOSED, at, "alone"), daemon(space, str(tmp_path / "s"), RANGE) as one:
        assert one.ask().taken == ()
        assert json.loads(python(space, INTRUDER, 61003, ",lo")) == []


@pytest.mark.parametrize("foreign", ["0.0.0.0", "::"])
def test_time_wait_beside_a_bound_socket_is_taken_though_no_table_lists_that_socket(
    space: str, tmp_path: Path, foreign: str
) -> None:
    with running(space, CLOSED, "127.0.0.1", foreign), daemon(space, str(tmp_path / "s"), RANGE) as one:
        assert one.ask().taken == (Taken(61003, "tcp"),)


def test_what_slips_in_beside_time_wait_can_never_listen(space: str, tmp_path: Path) -> None:
    with running(space, CLOSED, "127.0.0.1", "127.0.0.2") as foreign, daemon(space, str(tmp_path / "s"), RANGE) as one:
        assert one.ask().taken == ()
        assert foreign.stdin is not None
        assert foreign.stdout is not None
        foreign.stdin.write("l")
        foreign.stdin.flush()
        assert foreign.stdout.readline() == "refused\n"


def test_an_established_connection_whose_server_is_gone_is_taken(space: str, tmp_path: Path) -> None:
    code = """
import socket, sys
server = socket.create_server(("127.0.0.1", 61003))
client = socket.create_connection(("127.0.0.1", 61003)); accepted, _ = server.accept(); server.close()
print("ready", flush=True); sys.stdin.read()
"""
    with running(space, code), daemon(space, str(tmp_path / "s"), RANGE) as one:
        assert one.ask().taken == (Taken(61003, "tcp"),)


@pytest.mark.parametrize("switch", ["all", "default", "lo"])
def test_numbers_are_held_with_ipv6_switched_off(space: str, tmp_path: Path, switch: str) -> None:
    python(space, "import sys; open(f'/proc/sys/net/ipv6/conf/{sys.argv[1]}/disable_ipv6', 'w').write('1')", switch)
    with daemon(space, str(tmp_path / "s"), RANGE) as one:
        assert one.ask().taken == ()
        assert json.loads(python(space, INTRUDER, 61003, ",lo")) == []


def test_without_ipv6_in_the_kernel_ipv4_is_held(space: str) -> None:
    code = """
import socket
from nplconf.model import PortRange
from nplconf.hold import sockets
real = socket.socket
class NoIPv6(real):
    def __init__(self, family=-1, *rest, **named):
        if family == socket.AF_INET6: raise OSError(97, "Address family not supported by protocol")
        super().__init__(family, *rest, **named)
socket.socket = NoIPv6
holding = sockets.Holding(PortRange(61000, 61019))
holding.bind_missing()
names = {real(fileno=fd).getsockname()[0] for fd in holding.fds()}
print(holding.at.address, holding.count(), *names)
"""
    assert python(space, code) == "0.0.0.0 40 0.0.0.0"


def test_held_sockets_take_no_memory_for_what_local_programs_send_them(held: Daemon) -> None:
    code = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("127.0.0.1", 61003))
for _ in range(2000): s.send(b"x" * 1000)
line = next(l for l in open("/proc/self/net/udp6") if ":EE4B" in l.split()[1])
print(int(line.split()[4].split(":")[1], 16))
"""
    assert int(python(held.space, code)) < 5000


def test_a_range_beyond_the_open_file_limit_is_refused_with_the_number_that_is_needed(space: str) -> None:
    code = """
import resource
from nplconf.errors import BadConfigError
from nplconf.hold.sockets import make_room
from nplconf.model import PortRange
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 2100))
make_room(PortRange(61000, 62000), 64)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
try: make_room(PortRange(61000, 62100), 64)
except BadConfigError as error: print(error.exit_code, "2266" in str(error))
"""
    assert python(space, code) == "(2066, 2100)\n78 True"
