"""Ethernet frames with one TCP SYN or one UDP datagram. Pure."""

import struct
from ipaddress import ip_address
from typing import NamedTuple

from nplconf.model import Protocol

SENDER = bytes.fromhex("020000000001")
"""A locally administered hardware address."""
PROTOCOLS: dict[Protocol, int] = {"tcp": 6, "udp": 17}
ETHERNET = {4: 0x0800, 6: 0x86DD}
HOPS = 64
SYN = 2


class Packet(NamedTuple):
    """One packet of a client. source and destination are addresses of the same family."""

    source: str
    source_port: int
    destination: str
    port: int
    protocol: Protocol


def frame(packet: Packet, receiver: bytes) -> bytes:
    """Return the Ethernet frame that carries a packet to a device.

    Args:
        packet: A TCP packet becomes a SYN, a UDP packet an empty datagram.
        receiver: The hardware address of the device.
    """
    source, destination = ip_address(packet.source), ip_address(packet.destination)
    number = PROTOCOLS[packet.protocol]
    payload = _segment(packet) if packet.protocol == "tcp" else _datagram(packet)
    pseudo = source.packed + destination.packed + struct.pack("!IHH", len(payload), 0, number)
    at = 16 if packet.protocol == "tcp" else 6
    payload = payload[:at] + _checksum(pseudo + payload) + payload[at + 2 :]
    if source.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, HOPS, number, 0)
        head += source.packed + destination.packed
        head = head[:10] + _checksum(head) + head[12:]
    else:
        head = struct.pack("!IHBB", 6 << 28, len(payload), number, HOPS) + source.packed + destination.packed
    return receiver + SENDER + struct.pack("!H", ETHERNET[source.version]) + head + payload


def _segment(packet: Packet) -> bytes:
    return struct.pack("!HHIIBBHHH", packet.source_port, packet.port, 1, 0, 5 << 4, SYN, 1024, 0, 0)


def _datagram(packet: Packet) -> bytes:
    return struct.pack("!HHHH", packet.source_port, packet.port, 8, 0)


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071). Zero becomes 0xffff, since zero means "no checksum" in UDP."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF or 0xFFFF).to_bytes(2, "big")
