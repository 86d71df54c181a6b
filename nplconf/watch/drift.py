"""The kernel's notifications of changed nftables rules: iptables-nft's and native ones, not iptables-legacy's.

A transaction is notified as its changes, then a NEWGEN message with the name of the program. A transaction counts as
drift when it touches a chain or table of nplconf, or the base chains with its jumps, and another process made it. A
notification that was lost (ENOBUFS) counts as drift, too.
"""

import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

NETLINK_NETFILTER = 12
GROUP_NFTABLES = 7
SUBSYSTEM_NFTABLES = 10
NEWGEN = 15
RULES = (6, 8)
"""NEWRULE, DELRULE: they name a table and a chain."""
CHAINS = (3, 5)
ATTRIBUTE_TABLE, ATTRIBUTE_RULE_CHAIN, ATTRIBUTE_CHAIN_NAME, ATTRIBUTE_PROGRAM = 1, 2, 3, 3
BASES = ("PREROUTING", "OUTPUT", "POSTROUTING")
OWN_SECONDS = 0.5
"""How long after our own change its notifications may still arrive."""
BUFFER = 4 << 20
"""Bytes of notifications that wait to be read: some 20,000 rules of another program's transaction."""


class Message(NamedTuple):
    """What one notification says. table, chain: "" where it names none. program: of a NEWGEN."""

    kind: int
    table: str = ""
    chain: str = ""
    program: str = ""

    @property
    def concerns_us(self) -> bool:
        """Return whether it is about rules of nplconf, or about the chains that have its jumps."""
        if self.kind in RULES and self.table == "nat" and self.chain in BASES:
            return True
        if self.chain:
            return self.table == "nat" and self.chain.startswith("NPLCONF")
        return self.table in ("nplconf", "nat")


class Monitor:
    """Reads notifications in a thread. drifted: called when another program changed rules of nplconf."""

    def __init__(self, drifted: Callable[[], None]) -> None:
        self._drifted = drifted
        self._own_until = 0.0
        self._programs = {"iptables-nft-re", "ip6tables-nft-r", "nft", _own_name()}

    def start(self) -> bool:
        """Begin. Return False where the kernel lets us listen to nothing."""
        try:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            sock.bind((0, 1 << (GROUP_NFTABLES - 1)))
        except OSError:
            return False
        threading.Thread(target=self._listen, args=(sock,), name="drift", daemon=True).start()
        return True

    def own_change(self) -> None:
        """Say that this process is changing rules now."""
        self._own_until = time.monotonic() + OWN_SECONDS

    def _listen(self, sock: socket.socket) -> None:
        touched = False
        while True:
            try:
                data = sock.recv(1 << 16)
            except OSError as err:
                if err.errno == errno.ENOBUFS:
                    self._drifted()
                    continue
                return
            for message in messages(data):
                if message.kind != NEWGEN:
                    touched = touched or message.concerns_us
                    continue
                if touched and not self._is_own(message.program):
                    self._drifted()
                touched = False

    def _is_own(self, program: str) -> bool:
        return time.monotonic() < self._own_until and program in self._programs


def messages(data: bytes) -> Iterator[Message]:
    """Yield the nftables messages of a datagram. Raises nothing: what is cut off is left out."""
    at = 0
    while at + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if length < 20 or at + length > len(data):
            return
        if kind >> 8 == SUBSYSTEM_NFTABLES:
            yield _message(kind & 0xFF, dict(_attributes(data[at + 20 : at + length])))
        at += (length + 3) & ~3


def _message(kind: int, attributes: dict[int, bytes]) -> Message:
    if kind == NEWGEN:
        return Message(kind, program=_text(attributes.get(ATTRIBUTE_PROGRAM, b"")))
    number = {**dict.fromkeys(RULES, ATTRIBUTE_RULE_CHAIN), **dict.fromkeys(CHAINS, ATTRIBUTE_CHAIN_NAME)}.get(kind)
    chain = _text(attributes.get(number, b"")) if number else ""
    return Message(kind, _text(attributes.get(ATTRIBUTE_TABLE, b"")), chain)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("ascii", "replace")


def _own_name() -> str:
    return Path("/proc/self/comm").read_text(encoding="ascii", errors="replace").strip()
