"""Ask which ports of the range are held: the hold daemon, or the kernel by trying to bind (`--no-hold`).

Nothing is raised for a daemon that is dead, hangs, belongs to another user, has another version, or sends invalid data.
The result then says so, and its message says what to do. `nplconf.hold.protocol` defines request and response.
"""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator

from nplconf.deadline import current
from nplconf.hold import protocol
from nplconf.hold.sockets import KINDS, supported
from nplconf.model import USUAL_PROTOCOLS, Holds, PortRange, Protocol, Taken

CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid


class _NoAnswer(Exception):  # noqa: N818 it never leaves this module
    """There is no valid response. The text says why."""


def ask(socket_path: str, port_range: PortRange, deadline: float = 5.0) -> Holds:
    """Ask the hold daemon. Never raises.

    Args:
        socket_path: The path of the daemon's socket.
        port_range: Only taken ports in this range are returned.
        deadline: Seconds for the whole call.

    Returns:
        The held and taken ports. Without a valid response `available` is False, and `message` says why.
    """
    try:
        answer = protocol.read(_answer(socket_path, time.monotonic() + current().left(deadline)))
    except (_NoAnswer, protocol.UnreadableAnswerError) as error:
        return Holds(available=False, message=f"hold daemon at {socket_path}: {error}")
    taken = tuple(one for one in answer.taken if one.number in port_range)
    return Holds(available=True, ranges=(answer.port_range,), taken=taken, protocols=answer.protocols)


# --- asking ----------------------------------------------------------------------------------------------------------


def _answer(socket_path: str, until: float) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            _connect(sock, socket_path, until)
            _, uid, _ = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
            if uid not in (0, os.geteuid()):
                raise _NoAnswer(f"user {uid} runs it, so it is not trusted: only root may run it")
            sock.sendall(protocol.QUESTION + b"\n")
            return b"".join(_received(sock, until))
    except TimeoutError as error:
        raise _NoAnswer(f"it gives no answer in time: restart {protocol.daemon()}") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise _NoAnswer(f"it is not running: start {protocol.daemon()}, or nplconf hold") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise _NoAnswer(f"no connection: {reason}") from error


def _connect(sock: socket.socket, socket_path: str, until: float) -> None:
    """Connect. If the queue is full, the kernel refuses at once, so the attempt is repeated."""
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
        received = sock.recv(1 << 16)
        size += len(received)
        if not received:
            return
        if size > protocol.MAX_ANSWER:
            raise _NoAnswer(f"its answer is longer than {protocol.MAX_ANSWER} bytes")
        yield received


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


# --- trying ----------------------------------------------------------------------------------------------------------


def probe(port_range: PortRange, protocols: Iterable[Protocol] = USUAL_PROTOCOLS) -> Holds:
    """Try to bind each port of a range now. No socket stays bound.

    Plain binds to the wildcard of both families, so that any other socket makes a port taken. 3 us per port and
    protocol, of which the kernel takes most.

    Args:
        port_range: The ports.
        protocols: The protocols to try, where the kernel has sockets of them.
    """
    family, address = _wildcard()
    known = tuple(protocol for protocol in protocols if protocol in USUAL_PROTOCOLS or supported(protocol))
    taken = tuple(
        Taken(number, protocol)
        for number in port_range.numbers
        for protocol in known
        if not _can_be_bound(family, KINDS[protocol], (address, number))
    )
    return Holds(available=True, ranges=(port_range,), taken=taken, probed=True, protocols=known)


def _wildcard() -> tuple[socket.AddressFamily, str]:
    """Return the wildcard of both families, or that of IPv4 if IPv6 is off."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::", 0))
        return socket.AF_INET6, "::"
    return socket.AF_INET, "0.0.0.0"  # noqa: S104 a foreign socket on any address makes a port taken


def _can_be_bound(family: int, kind: tuple[int, int], at: tuple[str, int]) -> bool:
    try:
        # the class behind `socket.socket`, which adds a quarter to the time
        sock = socket.SocketType(family, *kind)
    except OSError:
        return False
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(at)
    except OSError:
        return False
    finally:
        sock.close()
    return True
