"""What is held of the port range: asked of the hold daemon, or found by trying just now (`--no-hold`).

A daemon that is dead, stuck, not root's, of another version, or talks rubbish never raises: it is a value, and its
message says what to do. The question, and what an answer means, are in `nplconf.hold.protocol`.
"""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator

from nplconf.deadline import current
from nplconf.hold import protocol
from nplconf.model import PROTOCOLS, Holds, PortRange, Protocol, Taken

CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid
KINDS: dict[Protocol, int] = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class _NoAnswer(Exception):  # noqa: N818 it never leaves this module
    """Why there is nothing to believe."""


def ask(socket_path: str, port_range: PortRange, deadline: float = 5.0) -> Holds:
    """The daemon's answer, with the taken numbers of `port_range`; `available` False, and why, when there is none.

    deadline: seconds for all of it. Never raises.
    """
    try:
        answer = protocol.read(_answer(socket_path, time.monotonic() + current().left(deadline)))
    except (_NoAnswer, protocol.UnreadableAnswerError) as error:
        return Holds(available=False, message=f"hold daemon at {socket_path}: {error}")
    taken = tuple(one for one in answer.taken if one.number in port_range)
    return Holds(available=True, ranges=(answer.port_range,), taken=taken)


# --- asking ----------------------------------------------------------------------------------------------------------


def _answer(socket_path: str, until: float) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            _connect(sock, socket_path, until)
            _, uid, _ = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
            if uid not in (0, os.geteuid()):
                raise _NoAnswer(f"it is not root's but of user {uid}, and is not believed")
            sock.sendall(protocol.QUESTION + b"\n")
            return b"".join(_received(sock, until))
    except TimeoutError as error:
        raise _NoAnswer(f"it gives no answer in time: restart {protocol.daemon()}") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise _NoAnswer(f"there is none: start {protocol.daemon()}, or nplconf hold") from error
    except (OSError, ValueError) as error:  # the second: a path with NUL
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise _NoAnswer(f"it cannot be asked: {reason}") from error


def _connect(sock: socket.socket, socket_path: str, until: float) -> None:
    """Connect; a full queue is told at once by the kernel, and may have room a moment later."""
    while True:
        sock.settimeout(_left(until))
        try:
            return sock.connect(socket_path)
        except BlockingIOError:
            time.sleep(min(0.01, _left(until)))


def _received(sock: socket.socket, until: float) -> Iterator[bytes]:
    size = 0
    while True:
        sock.settimeout(_left(until))
        said = sock.recv(1 << 16)
        size += len(said)
        if not said:
            return
        if size > protocol.MAX_ANSWER:
            raise _NoAnswer(f"its answer is longer than {protocol.MAX_ANSWER} bytes")
        yield said


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


# --- trying ----------------------------------------------------------------------------------------------------------


def probe(port_range: PortRange) -> Holds:
    """What could be bound of `port_range` just now; nothing stays bound.

    Plain binds to the wildcard of both families, so that any socket in the way makes a number taken. 19 us a number.
    """
    family, address = _wildcard()
    taken = tuple(
        Taken(number, protocol)
        for number in range(port_range.first, port_range.last + 1)
        for protocol in PROTOCOLS
        if not _can_be_bound(family, KINDS[protocol], (address, number))
    )
    return Holds(available=True, ranges=(port_range,), taken=taken, probed=True)


def _wildcard() -> tuple[socket.AddressFamily, str]:
    """Both families in one, or IPv4 where IPv6 is switched off."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::", 0))
        return socket.AF_INET6, "::"
    return socket.AF_INET, "0.0.0.0"  # noqa: S104 a foreign socket on any address is in the way


def _can_be_bound(family: socket.AddressFamily, kind: int, at: tuple[str, int]) -> bool:
    try:
        with socket.socket(family, kind) as sock:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(at)
    except OSError:
        return False
    return True
