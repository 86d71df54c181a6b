"""SCTP packets by raw sockets, as a client and a Pod exchange them. They need no SCTP sockets in the kernel."""

import socket
import struct
import time
from typing import NamedTuple, Self

SCTP = socket.IPPROTO_SCTP
INIT, INIT_ACK = 1, 2
PATIENCE = 1.0
"""Seconds for a packet to arrive. In the namespaces of a test it takes less than a millisecond."""


class Received(NamedTuple):
    """One packet: the sender's address and port, the port that it was sent to, and its first chunk's type."""

    source: str
    source_port: int
    port: int
    chunk: int


class Endpoint:
    """A raw socket for SCTP in the namespace that the calling thread is in."""

    def __init__(self, address: str) -> None:
        """Open it for packets to an address of this namespace."""
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._sock = socket.socket(self._family, socket.SOCK_RAW, SCTP)
        self._sock.bind((address, 0))
        self._sock.settimeout(PATIENCE)

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self._sock.close()

    def send(self, address: str, source_port: int, port: int, chunk: int = INIT, tag: int = 0) -> None:
        """Send a packet with one INIT or INIT ACK chunk. tag: the one that the other side has proposed, 0 with INIT."""
        body = struct.pack("!BBHIIHHI", chunk, 0, 20, TAG, 65536, 1, 1, 1)
        head = struct.pack("!HHI", source_port, port, tag)
        checksum = struct.pack("<I", crc32c(head + bytes(4) + body))
        self._sock.sendto(head + checksum + body, (address, 0))

    def receive(self, chunk: int) -> Received | None:
        """Return the next packet with this chunk; None when there is none in time."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                data, source = self._sock.recvfrom(2048)
            except TimeoutError:
                return None
            data = data[(data[0] & 15) * 4 :] if self._family == socket.AF_INET else data
            source_port, port = struct.unpack_from("!HH", data)
            if data[12] == chunk:
                return Received(source[0], source_port, port, data[12])
        return None


TAG = 7
"""The tag that every INIT proposes, which is not to be 0."""


def crc32c(data: bytes) -> int:
    """Return the checksum of RFC 9260, appendix A (Castagnoli's polynomial, reflected)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
