"""Which nftables rules a traced packet meets, iptables-nft's among them: the kernel's trace, over netlink."""

import socket
import struct
import time
from collections.abc import Iterator
from typing import Literal, NamedTuple, Self

from nplconf.node.ctnetlink import HEADER, NETLINK_NETFILTER, attributes

GROUP = 9
"""NFNLGRP_NFTRACE."""
SOL_NETLINK, ADD_MEMBERSHIP = 270, 1
TRACE = 10 << 8 | 17
"""NFNL_SUBSYS_NFTABLES and NFT_MSG_TRACE."""
TABLE, CHAIN, HANDLE, TYPE, VERDICT, ID, POLICY = 1, 2, 3, 4, 5, 6, 16
FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 7: "bridge", 10: "ip6"}
KINDS: dict[int, Literal["policy", "return", "rule"]] = {1: "policy", 2: "return", 3: "rule"}
DROP = 0
QUIET = 0.2
"""Seconds without a further step after which a packet has ended."""


class Step(NamedTuple):
    """A rule that the packet matched, or the policy of a base chain that it reached. handle: of the rule, else 0."""

    packet: int
    family: str
    table: str
    chain: str
    kind: Literal["policy", "return", "rule"]
    handle: int
    drops: bool


class Trace:
    """The steps of traced packets, from the time at which it is entered."""

    def __enter__(self) -> Self:
        """Start to listen. Raises OSError."""
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._sock.bind((0, 0))  # the kernel skips sockets without a number of their own
        self._sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, GROUP)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to listen."""
        self._sock.close()

    def steps(self, seconds: float) -> Iterator[Step]:
        """Yield the steps until none comes any more, at most for so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._sock.settimeout(min(QUIET, left))
            try:
                data = self._sock.recv(1 << 16)
            except TimeoutError:
                return
            yield from _parsed(data)


def _parsed(data: bytes) -> Iterator[Step]:
    start = 0
    while start + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, start)
        if length < HEADER.size:
            return
        if kind == TRACE:
            yield _step(data[start + HEADER.size : start + length])
        start += length + 3 & ~3


def _step(message: bytes) -> Step:
    """Return the step that a message describes; numbers in it are in network order."""
    found = attributes(message[4:])  # after struct nfgenmsg
    kind = KINDS.get(_number(found.get(TYPE, b"")), "rule")
    verdict = _number(found.get(POLICY, b"\1")) if kind == "policy" else _verdict(found.get(VERDICT, b""))
    table, chain = (found.get(key, b"").rstrip(b"\0").decode(errors="replace") for key in (TABLE, CHAIN))
    family = FAMILIES.get(message[0], str(message[0]))
    return Step(
        _number(found.get(ID, b"")), family, table, chain, kind, _number(found.get(HANDLE, b"")), verdict == DROP
    )


def _verdict(nested: bytes) -> int:
    (code,) = struct.unpack("!i", attributes(nested).get(1, b"\xff\xff\xff\xff"))
    return int(code)


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")
