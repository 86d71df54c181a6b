"""The sockets of a port range: for each port one TCP and one UDP socket, bound to the wildcard.

With `--sctp` each port also has an SCTP socket, if the kernel has such sockets: one-to-one style, bound, not listening.
The kernel answers an INIT with ABORT.

- Dual stack (`::` with V6ONLY 0): both families in one socket. 0.0.0.0 if IPv6 is off.
- TCP does not listen: the kernel answers clients with RST at once. A listening socket would complete the handshake.
- UDP is bound to the device lo *after* bind(): the kernel looks for conflicts only at bind(), so a foreign socket
  that is bound to a device is found as well. (With the device set first it is not: both sockets got the port.) From
  then on packets from other machines find no socket and are refused by ICMP. Only a local client of a loopback address
  gets no answer.
- UDP never has SO_REUSEADDR: it would share the port with a foreign server that has the option.

Closed TCP connections occupy a port for a minute (TIME_WAIT). SO_REUSEADDR ignores them, but it also ignores a foreign
socket that has the option, is bound, and does not listen. Such a socket is in no table of /proc. So a port is bound
beside TIME_WAIT only under two conditions. A plain bind() to otherwise unused addresses must succeed, so that no socket
has the wildcard. After the bind, /proc must list nothing but TIME_WAIT for the port. The option is dropped right after
bind(), so that no socket shares the port later. A socket that slipped in before (bound to one address, not listening,
on that very port) can never listen.
"""

# ruff: noqa: PTH123 -- pathlib would cost 5 ms and 1 MiB, and nothing else here needs it

import contextlib
import errno
import os
import resource
import socket
from array import array
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from nplconf.errors import BadConfigError, PermissionDeniedError
from nplconf.model import USUAL_PROTOCOLS, PortRange, Protocol

LOOPBACK_DEVICE = b"lo"
IPV6_FREEBIND = 78  # not in the socket module
UNUSED = ((socket.AF_INET, "127.83.78.80"), (socket.AF_INET6, "100::4e50"))
"""Addresses that no service binds (the second has the discard prefix and is not the node's). If they are in use, some
socket has the wildcard.
"""
TIME_WAIT = b"06"
KINDS: dict[Protocol, tuple[int, int]] = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
"""The type and the number of each protocol's sockets."""
SO_NETNS_COOKIE = 71  # Linux 5.14; not in the socket module
NONE = -1
"""No file descriptor."""


class Wildcard(NamedTuple):
    """The address that sockets are bound to: ("::", AF_INET6) or ("0.0.0.0", AF_INET), and the network namespace."""

    address: str
    family: socket.AddressFamily
    namespace: bytes
    """The kernel's cookie of the namespace; empty before Linux 5.14."""


class Identity(NamedTuple):
    """The port and protocol that a held socket is for."""

    number: int
    protocol: Protocol


def namespace_of(sock: socket.socket) -> bytes:
    """Return the kernel's cookie of a socket's network namespace; empty before Linux 5.14."""
    return _option(sock, SO_NETNS_COOKIE, 8)


def wildcard() -> Wildcard:
    """Return the wildcard of both families if the kernel has IPv6, otherwise that of IPv4."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::", 0))
            return Wildcard("::", socket.AF_INET6, namespace_of(sock))
    except OSError:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            # a hold is for every address
            return Wildcard("0.0.0.0", socket.AF_INET, namespace_of(sock))  # noqa: S104


def supported(protocol: Protocol) -> bool:
    """Return whether this kernel has sockets of a protocol. The call loads the kernel module if there is one."""
    try:
        socket.socket(socket.AF_INET, *KINDS[protocol]).close()
    except OSError:
        return False
    return True


def make_room(port_range: PortRange, spare: int, protocols: Collection[Protocol] = USUAL_PROTOCOLS) -> None:
    """Raise the soft limit of open files to what the range needs and `spare` more.

    Raises:
        BadConfigError: The hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(protocols) * len(port_range) + spare
    if resource.RLIM_INFINITY != hard < needed:
        raise BadConfigError(
            f"port range {port_range} needs {needed} open files, and the limit of this process is {hard}: "
            "raise it (LimitNOFILE=, ulimit -Hn) or choose a smaller range"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _bound(protocol: Protocol, number: int, at: Wildcard, *, reuse: bool = False) -> socket.socket | None:
    """Return a socket of a protocol bound to a port; None if it cannot be bound."""
    with contextlib.ExitStack() as undo:
        try:
            sock = undo.enter_context(socket.socket(at.family, *KINDS[protocol]))
            if at.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if reuse:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((at.address, number))
            if reuse:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError:
            return None
        undo.pop_all()
        return sock


def _udp(number: int, at: Wildcard) -> int:
    """Return the fd of a UDP socket that holds a port and receives only from loopback; NONE if it cannot be bound.

    Raises:
        PermissionDeniedError: The kernel (before 5.7) requires CAP_NET_RAW for SO_BINDTODEVICE.
    """
    sock = _bound("udp", number, at)
    if sock is None:
        return NONE
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, LOOPBACK_DEVICE)
        # no program reads it: datagrams of local programs must not fill kernel memory
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    except PermissionError as error:
        sock.close()
        raise PermissionDeniedError("a UDP socket cannot be bound to the device lo: CAP_NET_RAW is missing") from error
    return sock.detach()


def _stream(protocol: Protocol, number: int, at: Wildcard) -> int:
    """Return the fd of a TCP or SCTP socket that holds a port; NONE if it cannot be bound."""
    sock = _bound(protocol, number, at)
    return NONE if sock is None else sock.detach()


# --- beside TIME_WAIT ------------------------------------------------------------------------------------------------


def _has_no_wildcard(number: int) -> bool:
    """Return whether no other socket has the port on every address of a family."""
    for family, address in UNUSED:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
                sock.bind((address, number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True


def _states(numbers: Collection[int]) -> dict[int, set[bytes]]:
    """Return the states (as in /proc: b"06") of all TCP sockets with one of these local ports."""
    wanted = {b"%04X" % number: number for number in numbers}
    states: dict[int, set[bytes]] = {}
    for name in ("tcp", "tcp6"):
        # not /proc/net: it does not exist in a service with ProtectProc= or ProcSubset=
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/net/{name}", "rb") as table:
            for line in table:
                _, local, _, state, _ = line.split(None, 4)
                number = wanted.get(local[-4:])
                if number is not None:
                    states.setdefault(number, set()).add(state)
    return states


def _beside_time_wait(numbers: Collection[int], at: Wildcard) -> dict[int, int]:
    """Bind the refused ports that only TIME_WAIT connections occupy. Return fd by port."""
    had = {
        number: sock
        for number in numbers
        if _has_no_wildcard(number) and (sock := _bound("tcp", number, at, reuse=True))
    }
    states = _states(had) if had else {}
    for number in [number for number in had if states.get(number) != {TIME_WAIT}]:
        had.pop(number).close()
    return {number: sock.detach() for number, sock in had.items()}


# --- what came back ---------------------------------------------------------------------------------------------------


def identify(fd: int, at: Wildcard) -> Identity | None:
    """Return what a socket holds; None if it differs in any way from a socket of this module."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    try:
        return _identity(sock, at)
    except OSError:
        return None
    finally:
        sock.detach()


def _identity(sock: socket.socket, at: Wildcard) -> Identity | None:
    protocol = next((name for name, kind in KINDS.items() if kind == (sock.type, sock.proto)), None)
    address, number, *_ = sock.getsockname() if sock.family == at.family else ("", 0)
    if protocol is None or address != at.address or namespace_of(sock) != at.namespace:
        return None
    if at.family == socket.AF_INET6 and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return None
    if _option(sock, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") != (LOOPBACK_DEVICE if protocol == "udp" else b""):
        return None
    sharing = (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_ACCEPTCONN)
    if any(sock.getsockopt(socket.SOL_SOCKET, option) for option in sharing) or _has_peer(sock):
        return None
    return Identity(number, protocol)


def _option(sock: socket.socket, option: int, size: int) -> bytes:
    """Return the raw value of a socket option; empty if the kernel does not know it."""
    try:
        return sock.getsockopt(socket.SOL_SOCKET, option, size)
    except OSError:
        return b""


def _has_peer(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


# --- the range -------------------------------------------------------------------------------------------------------


class Holding:
    """The sockets of one range as file descriptors (a socket object takes more memory than the socket).

    They are held until `close`, or until the process ends. A protocol that the kernel has no sockets of is held as soon
    as `bind_missing` finds that it has them.
    """

    def __init__(self, port_range: PortRange, protocols: Collection[Protocol] = USUAL_PROTOCOLS) -> None:
        self.port_range = port_range
        self.at = wildcard()
        self._fds = {protocol: array("i", [NONE]) * len(port_range) for protocol in USUAL_PROTOCOLS}
        self._awaited = [protocol for protocol in protocols if protocol not in USUAL_PROTOCOLS]
        self._await()

    def _await(self) -> None:
        """Hold the protocols, too, that the kernel has sockets of since the last question."""
        for protocol in [protocol for protocol in self._awaited if supported(protocol)]:
            self._fds[protocol] = array("i", [NONE]) * len(self.port_range)
            self._awaited.remove(protocol)

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """Those whose sockets are held."""
        return tuple(self._fds)

    @property
    def unsupported(self) -> tuple[Protocol, ...]:
        """Those that are to be held, and of which the kernel has no sockets."""
        return tuple(self._awaited)

    def missing(self, protocol: Protocol) -> list[int]:
        """Return the ports without a socket of this protocol, ascending."""
        first, fds = self.port_range.first, self._fds[protocol]
        if NONE not in fds:  # the usual case: each request asks five times, and visiting 1,000 ports takes 30 us
            return []
        return [first + place for place, fd in enumerate(fds) if fd == NONE]

    def taken(self) -> list[Identity]:
        """Return all ports and protocols that are not held, ascending."""
        return sorted(Identity(number, protocol) for protocol in self._fds for number in self.missing(protocol))

    def count(self) -> int:
        """Return how many sockets are held. A complete range has one per port and protocol."""
        return sum(len(fds) - fds.count(NONE) for fds in self._fds.values())

    def bind_missing(self) -> list[int]:
        """Try to bind everything that is missing. Return the fds of the new sockets."""
        self._await()
        new = [self._put(number, "udp", _udp(number, self.at)) for number in self.missing("udp")]
        for protocol in [protocol for protocol in self._fds if protocol != "udp"]:
            new += [self._put(n, protocol, _stream(protocol, n, self.at)) for n in self.missing(protocol)]
        closing = _beside_time_wait(self.missing("tcp"), self.at)
        new += [self._put(number, "tcp", fd) for number, fd in closing.items()]
        return [fd for fd in new if fd >= 0]

    def adopt(self, fds: Iterable[int]) -> list[int]:
        """Hold sockets from before a restart and return their fds. Close invalid, duplicate and outside ones."""
        return [fd for fd in fds if self._adopt(fd)]

    def _adopt(self, fd: int) -> bool:
        identity = identify(fd, self.at)
        known = identity and identity.number in self.port_range and identity.protocol in self._fds
        if identity and known and self._get(*identity) == NONE:
            self._put(*identity, fd)
            return True
        os.close(fd)
        return False

    def _get(self, number: int, protocol: Protocol) -> int:
        return self._fds[protocol][number - self.port_range.first]

    def _put(self, number: int, protocol: Protocol, fd: int) -> int:
        self._fds[protocol][number - self.port_range.first] = fd
        return fd

    def fds(self) -> Iterator[int]:
        """Return every fd, TCP first."""
        return (fd for fds in self._fds.values() for fd in fds if fd >= 0)

    def close(self) -> None:
        """Close all sockets."""
        for fd in self.fds():
            socket.close(fd)
        for fds in self._fds.values():
            fds[:] = array("i", [NONE]) * len(fds)
