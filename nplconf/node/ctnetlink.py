"""Conntrack over netlink: list entries of one protocol by their original destination port, delete them by exact tuple.

Rejected alternatives: `conntrack -D` lists the whole table for every deletion, and pyroute2 takes 180 ms to import.
`nplconf.node.conntrack` has the figures.
"""

import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from nplconf.node.netlink import ACK, NESTED, PREFIX, REQUEST, Channel, attribute, attributes, raise_error

GET, DELETE = 0x0101, 0x0102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, _DELETE
TUPLE_ORIG, TUPLE_REPLY, ID, ZONE, FILTER = 1, 2, 12, 18, 25
TUPLE_IP, TUPLE_PROTO, TUPLE_ZONE = 1, 2, 3
PROTO_NUM, PROTO_SRC_PORT, PROTO_DST_PORT = 1, 2, 3
FILTER_ORIG_FLAGS, FILTER_REPLY_FLAGS = 1, 2
BY_PROTO, BY_DST_PORT = 1 << 3, 1 << 5
IP_SRC_DST: dict[int, tuple[int, int]] = {socket.AF_INET: (1, 2), socket.AF_INET6: (3, 4)}
DST_PORT_AT: dict[int, int] = {socket.AF_INET: 64, socket.AF_INET6: 88}
"""The offset of the original destination port in a listed message. The kernel writes that tuple first, in fixed order.
"""
DST_PORT_HEADER = struct.pack("=HH", 6, PROTO_DST_PORT)
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


class ConntrackTable(Channel):
    """A netlink socket to the conntrack table, with one deadline for all its methods.

    Every method raises OSError; TimeoutError after the deadline.

    Args:
        family: AF_INET or AF_INET6.
        until: The deadline, in seconds of the monotonic clock.
    """

    def flows_to(self, numbers: Collection[int], protocol: int = socket.IPPROTO_UDP) -> Iterator[Flow]:
        """Yield the entries of a protocol and of zone 0 whose original destination port is one of `numbers`.

        The whole table is listed once. The kernel leaves out other protocols and, for a single port, other ports.
        Before Linux 5.8 it lists everything.
        """
        (only,) = numbers if len(numbers) == 1 else (None,)
        keys = frozenset(DST_PORT_HEADER + number.to_bytes(2, "big") for number in numbers)
        at = DST_PORT_AT[self.family]
        for message in self.listed(GET, _filter(only, protocol)):
            key = message[at : at + 6]
            if key in keys or not key.startswith(DST_PORT_HEADER):
                entry = _entry(message, self.family, protocol)
                if entry and entry.port in numbers:
                    yield entry

    def delete(self, exact: Sequence[bytes]) -> int:
        """Delete the entries with these `Entry.exact`. Return how many still existed."""
        deleted = 0
        for start in range(0, len(exact), BATCH):
            batch = exact[start : start + BATCH]
            self.send([self.message(DELETE, REQUEST | ACK, payload) for payload in batch])
            deleted += sum(self._answered() for _ in batch)
        return deleted

    def _answered(self) -> bool:
        """Read the kernel's answer to one deletion: True if deleted, False if the entry no longer existed."""
        try:
            for _, message in self.received():
                raise_error(message)
        except FileNotFoundError:
            return False
        return True


def _filter(number: int | None, protocol: int) -> bytes:
    """Return the attributes that make the kernel list one protocol only, and one destination port if there is one."""
    wanted = attribute(PROTO_NUM, bytes([protocol]))
    flags = BY_PROTO
    if number is not None:
        wanted += attribute(PROTO_DST_PORT, number.to_bytes(2, "big"))
        flags |= BY_DST_PORT
    original = attribute(TUPLE_PROTO | NESTED, wanted)
    compared = attribute(FILTER_ORIG_FLAGS, struct.pack("=I", flags))
    compared += attribute(FILTER_REPLY_FLAGS, struct.pack("=I", 0))
    return attribute(TUPLE_ORIG | NESTED, original) + attribute(FILTER | NESTED, compared)


def _entry(message: bytes, family: int, protocol: int) -> Flow | None:
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
        exact=attribute(TUPLE_ORIG | NESTED, values[TUPLE_ORIG]) + attribute(ID, values[ID]),
        destination=attributes(original[TUPLE_IP])[destination],
        port=int.from_bytes(ports[PROTO_DST_PORT], "big"),
        answered_by=(attributes(reply[TUPLE_IP])[source], int.from_bytes(answering_port, "big")),
    )
