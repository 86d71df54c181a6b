"""Numbers held for SCTP. On a kernel without SCTP sockets UDP-Lite stands in: it has numbers of its own, too."""

import socket
from collections.abc import Iterator

import pytest
from holdspace import namespace
from netns import inside

from nplconf.hold import sockets
from nplconf.hold.client import probe
from nplconf.hold.daemon import summary
from nplconf.hold.sockets import KINDS, Holding, Identity, supported
from nplconf.model import PROTOCOLS, USUAL_PROTOCOLS, PortRange, Protocol, Taken

RANGE = PortRange(61000, 61004)
SCTP = KINDS["sctp"] if supported("sctp") else (socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE)


@pytest.fixture
def space() -> Iterator[None]:
    with namespace() as name, inside(name):
        yield


@pytest.fixture
def sctp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sockets.KINDS, "sctp", SCTP)


@pytest.fixture
def holding(space: None, sctp: None) -> Iterator[Holding]:  # noqa: ARG001 - it is made in that namespace
    one = Holding(RANGE, PROTOCOLS)
    yield one
    one.close()


pytestmark = pytest.mark.kernel


@pytest.mark.usefixtures("space", "sctp")
def test_each_number_has_a_third_socket(holding: Holding) -> None:
    assert len(holding.bind_missing()) == holding.count() == 3 * len(RANGE)
    assert holding.protocols == PROTOCOLS
    assert summary(holding) == "15 of 15 sockets of 61000-61004 held"
    with socket.socket(socket.AF_INET, *SCTP) as intruder, pytest.raises(OSError, match="in use"):
        intruder.bind(("0.0.0.0", 61003))


@pytest.mark.usefixtures("space", "sctp")
def test_a_number_that_a_server_has_for_sctp_is_taken_until_it_ends(holding: Holding) -> None:
    with socket.socket(socket.AF_INET, *SCTP) as server:
        server.bind(("127.0.0.1", 61003))
        holding.bind_missing()
        assert holding.taken() == [Identity(61003, "sctp")]
        assert probe(PortRange(61005, 61005), PROTOCOLS).taken == ()
    holding.bind_missing()
    assert holding.taken() == []
    assert probe(RANGE, PROTOCOLS).taken == tuple(
        Taken(number, name) for number in range(61000, 61005) for name in PROTOCOLS
    )


@pytest.mark.usefixtures("space", "sctp")
def test_sctp_sockets_survive_a_restart_and_are_closed_without_the_option(holding: Holding) -> None:
    holding.bind_missing()
    again, without = Holding(RANGE, PROTOCOLS), Holding(RANGE)
    copies = [socket.dup(fd) for fd in holding.fds()]
    assert again.adopt(copies) == copies
    assert again.taken() == []
    assert len(without.adopt([socket.dup(fd) for fd in holding.fds()])) == 2 * len(RANGE)
    again.close()
    without.close()


@pytest.mark.usefixtures("space")
def test_a_kernel_without_sctp_sockets_holds_the_others_and_sctp_as_soon_as_it_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sockets.KINDS, "sctp", (socket.SOCK_STREAM, 253))  # a number for experiments: nobody has it
    holding = Holding(RANGE, PROTOCOLS)
    holding.bind_missing()
    assert (holding.protocols, holding.unsupported, holding.count()) == (USUAL_PROTOCOLS, ("sctp",), 10)
    assert summary(holding).endswith("; sctp is not held: this kernel has no such sockets")
    assert probe(RANGE, PROTOCOLS).protocols == USUAL_PROTOCOLS
    monkeypatch.setitem(sockets.KINDS, "sctp", SCTP)
    assert len(holding.bind_missing()) == 5
    assert holding.protocols == PROTOCOLS
    holding.close()


@pytest.mark.parametrize("protocol", USUAL_PROTOCOLS)
def test_every_kernel_has_the_usual_sockets(protocol: Protocol) -> None:
    assert supported(protocol)
