"""The nftables rules that a traced packet meets, iptables-nft's included, from the kernel's trace over netlink."""

import socket
import struct
import time
from collections.abc import Iterator
from typing import Literal, NamedTuple, Self

from nplconf.node.netlink import HEADER, NETLINK_NETFILTER, attributes, messages

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
"""Seconds without a further step after which a packet's trace is complete."""


class Step(NamedTuple):
    """A rule that the packet matched, or the policy of a base chain. handle: that of the rule, 0 for a policy."""

    packet: int
    family: str
    table: str
    chain: str
    kind: Literal["policy", "return", "rule"]
    handle: int
    drops: bool


class Trace:
    """The steps of traced packets, from the moment the `with` block is entered."""

    def __enter__(self) -> Self:
        """Start to receive. Raises OSError."""
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._sock.bind((0, 0))  # the kernel sends nothing to sockets without a port ID
        self._sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, GROUP)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to receive."""
        self._sock.close()

    def steps(self, seconds: float) -> Iterator[Step]:
        """Yield the steps until none follows for `QUIET` seconds.

        Args:
            seconds: The longest time to wait in all.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._sock.settimeout(min(QUIET, left))
            try:
                data = self._sock.recv(1 << 16)
            except TimeoutError:
                return
            yield from _parsed(data)


def _parsed(data: bytes) -> Iterator[Step]:
    return (_step(message[HEADER.size :]) for kind, message in messages(data) if kind == TRACE)


def _step(message: bytes) -> Step:
    """Return the step that a message describes. Its integers are in network byte order."""
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
