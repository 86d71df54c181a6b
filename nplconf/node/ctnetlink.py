"""Conntrack over netlink: list entries of one protocol by their original destination port, delete them by exact tuple.

Rejected alternatives: `conntrack -D` lists the whole table for every deletion, and pyroute2 takes 180 ms to import.
`nplconf.node.conntrack` has the figures.
"""

import os
import socket
import struct
import time
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Self

NETLINK_NETFILTER = 12
GET, DELETE = 0x0101, 0x0102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, _DELETE
ERROR, DONE = 2, 3
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
TUPLE_ORIG, TUPLE_REPLY, ID, ZONE, FILTER = 1, 2, 12, 18, 25
TUPLE_IP, TUPLE_PROTO, TUPLE_ZONE = 1, 2, 3
PROTO_NUM, PROTO_SRC_PORT, PROTO_DST_PORT = 1, 2, 3
FILTER_ORIG_FLAGS, FILTER_REPLY_FLAGS = 1, 2
BY_PROTO, BY_DST_PORT = 1 << 3, 1 << 5
NESTED, TYPE_MASK = 0x8000, 0x3FFF
IP_SRC_DST = {socket.AF_INET: (1, 2), socket.AF_INET6: (3, 4)}
DST_PORT_AT = {socket.AF_INET: 64, socket.AF_INET6: 88}
"""The offset of the original destination port in a listed message. The kernel writes that tuple first, in fixed order.
"""
DST_PORT_HEADER = struct.pack("=HH", 6, PROTO_DST_PORT)
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
PREFIX = HEADER.size + 4  # and struct nfgenmsg
ATTRIBUTE = struct.Struct("=HH")  # length with these four bytes, type
BATCH = 100
"""Deletions per message. Their answers fit into the default receive buffer."""


class Flow(NamedTuple):
    """A flow of zone 0. Addresses are in network byte order.

    Attributes:
        exact: The attributes that identify this entry alone: its original tuple as the kernel wrote it, and its ID.
        destination: The original destination address.
        port: The original destination port.
        answered_by: The (address, port) that answers.
    """

    exact: bytes
    destination: bytes
    port: int
    answered_by: tuple[bytes, int]


class ConntrackTable:
    """A netlink socket to the conntrack table, with one deadline for all its methods.

    Every method raises OSError; TimeoutError after the deadline.

    Args:
        family: AF_INET or AF_INET6.
        until: The deadline, in seconds of the monotonic clock.
    """

    def __init__(self, family: socket.AddressFamily, until: float) -> None:
        self._family = family
        self._until = until
        self._sequence = 0
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self._sock.close()

    def flows_to(self, numbers: Collection[int], protocol: int = socket.IPPROTO_UDP) -> Iterator[Flow]:
        """Yield the entries of a protocol and of zone 0 whose original destination port is one of `numbers`.

        The whole table is listed once. The kernel leaves out other protocols and, for a single port, other ports.
        Before Linux 5.8 it lists everything.
        """
        (only,) = numbers if len(numbers) == 1 else (None,)
        keys = frozenset(DST_PORT_HEADER + number.to_bytes(2, "big") for number in numbers)
        at = DST_PORT_AT[self._family]
        self._send([self._message(GET, REQUEST | DUMP, _filter(only, protocol))])
        for message in self._answers():
            key = message[at : at + 6]
            if key in keys or not key.startswith(DST_PORT_HEADER):
                entry = _entry(message, self._family, protocol)
                if entry and entry.port in numbers:
                    yield entry

    def delete(self, exact: Sequence[bytes]) -> int:
        """Delete the entries with these `Entry.exact`. Return how many still existed."""
        deleted = 0
        for start in range(0, len(exact), BATCH):
            batch = exact[start : start + BATCH]
            self._send([self._message(DELETE, REQUEST | ACK, payload) for payload in batch])
            deleted += sum(self._answered() for _ in batch)
        return deleted

    def _message(self, kind: int, flags: int, payload: bytes) -> bytes:
        self._sequence += 1
        header = HEADER.pack(PREFIX + len(payload), kind, flags, self._sequence, 0)
        return header + struct.pack("=BBH", self._family, 0, 0) + payload

    def _send(self, messages: Sequence[bytes]) -> None:
        self._sock.settimeout(self._left())
        self._sock.sendto(b"".join(messages), (0, 0))

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def _received(self) -> Iterator[tuple[int, bytes]]:
        """Yield (type, message) for each message of one datagram."""
        self._sock.settimeout(self._left())
        data = self._sock.recv(1 << 16)
        start = 0
        while start < len(data):
            length, kind, *_ = HEADER.unpack_from(data, start)
            yield kind, data[start : start + length]
            start += length + 3 & ~3

    def _answers(self) -> Iterator[bytes]:
        """Yield the messages of a listing, to its end."""
        while True:
            for kind, message in self._received():
                if kind in (DONE, ERROR):
                    _raise(message)
                    return
                yield message

    def _answered(self) -> bool:
        """Read the kernel's answer to one deletion: True if deleted, False if the entry no longer existed."""
        try:
            for _, message in self._received():
                _raise(message)
        except FileNotFoundError:
            return False
        return True


def _raise(message: bytes) -> None:
    """Raise OSError if the end of a listing or the answer to a deletion has an error number."""
    (number,) = struct.unpack_from("=i", message, HEADER.size)
    if number < 0:
        raise OSError(-number, os.strerror(-number))


def _attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute: length, type, value, and padding to a multiple of four bytes."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _filter(number: int | None, protocol: int) -> bytes:
    """Return the attributes that make the kernel list one protocol only, and one destination port if there is one."""
    wanted = _attribute(PROTO_NUM, bytes([protocol]))
    flags = BY_PROTO
    if number is not None:
        wanted += _attribute(PROTO_DST_PORT, number.to_bytes(2, "big"))
        flags |= BY_DST_PORT
    original = _attribute(TUPLE_PROTO | NESTED, wanted)
    compared = _attribute(FILTER_ORIG_FLAGS, struct.pack("=I", flags))
    compared += _attribute(FILTER_REPLY_FLAGS, struct.pack("=I", 0))
    return _attribute(TUPLE_ORIG | NESTED, original) + _attribute(FILTER | NESTED, compared)


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the values of consecutive netlink attributes, by type."""
    values = {}
    start = 0
    while start + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, start)
        if length < ATTRIBUTE.size:
            break
        values[kind & TYPE_MASK] = data[start + ATTRIBUTE.size : start + length]
        start += length + 3 & ~3
    return values


def _entry(message: bytes, family: socket.AddressFamily, protocol: int) -> Flow | None:
    """Parse a listed message. None if it is of another protocol or not of zone 0."""
    values = attributes(message[PREFIX:])
    original = attributes(values[TUPLE_ORIG])
    ports = attributes(original[TUPLE_PROTO])
    if ports[PROTO_NUM] != bytes([protocol]) or ZONE in values or TUPLE_ZONE in original:
        return None
    reply = attributes(values[TUPLE_REPLY])
    source, destination = IP_SRC_DST[family]
    answering_port = attributes(reply[TUPLE_PROTO])[PROTO_SRC_PORT]
    return Flow(
        exact=_attribute(TUPLE_ORIG | NESTED, values[TUPLE_ORIG]) + _attribute(ID, values[ID]),
        destination=attributes(original[TUPLE_IP])[destination],
        port=int.from_bytes(ports[PROTO_DST_PORT], "big"),
        answered_by=(attributes(reply[TUPLE_IP])[source], int.from_bytes(answering_port, "big")),
    )
