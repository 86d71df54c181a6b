"""Conversations with the kernel over netlink's netfilter family: what conntrack and nftables have in common."""

import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Self

NETLINK_NETFILTER = 12
ERROR, DONE = 2, 3
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
NESTED, TYPE_MASK = 0x8000, 0x3FFF
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
PREFIX = HEADER.size + 4  # and struct nfgenmsg
ATTRIBUTE = struct.Struct("=HH")  # length with these four bytes, type
DATAGRAM = 1 << 16
"""Bytes. The kernel sends at most half of it at once."""


class Channel:
    """A netlink socket with one deadline for all its methods.

    Every method raises OSError; TimeoutError after the deadline.

    Args:
        family: The address family in each request, or nftables' number for it.
        until: The deadline, in seconds of the monotonic clock.
    """

    def __init__(self, family: int, until: float) -> None:
        self.family = family
        self._until = until
        self._sequence = 0
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self._sock.close()

    def message(self, kind: int, flags: int, payload: bytes = b"") -> bytes:
        """Return a request."""
        self._sequence += 1
        header = HEADER.pack(PREFIX + len(payload), kind, flags, self._sequence, 0)
        return header + struct.pack("=BBH", self.family, 0, 0) + payload

    def send(self, messages: Sequence[bytes]) -> None:
        """Send requests in one datagram."""
        self._sock.settimeout(self._left())
        self._sock.sendto(b"".join(messages), (0, 0))

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def received(self) -> Iterator[tuple[int, bytes]]:
        """Yield (type, message) for each message of one datagram."""
        self._sock.settimeout(self._left())
        yield from messages(self._sock.recv(DATAGRAM))

    def listed(self, kind: int, payload: bytes = b"") -> Iterator[bytes]:
        """Yield the messages of a listing, to its end. kind: the type of the request."""
        self.send([self.message(kind, REQUEST | DUMP, payload)])
        while True:
            for answer, message in self.received():
                if answer in (DONE, ERROR):
                    raise_error(message)
                    return
                yield message


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, message) for each message of a datagram. What is cut off is left out."""
    start = 0
    while start + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, start)
        if length < HEADER.size or start + length > len(data):
            return
        yield kind, data[start : start + length]
        start += length + 3 & ~3


def raise_error(message: bytes) -> None:
    """Raise OSError if the end of a listing or the answer to a request has an error number."""
    (number,) = struct.unpack_from("=i", message, HEADER.size)
    if number < 0:
        raise OSError(-number, os.strerror(-number))


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute: length, type, value, and padding to a multiple of four bytes."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the values of consecutive attributes, by type."""
    return {kind & TYPE_MASK: value for kind, value in each(data)}


def each(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, value) of consecutive attributes."""
    start, size = 0, ATTRIBUTE.size
    while start + size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, start)
        if length < size:
            break
        yield kind, data[start + size : start + length]
        start += length + 3 & ~3
