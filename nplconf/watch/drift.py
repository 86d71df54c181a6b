"""The kernel's notifications of changed nftables rules: iptables-nft's and native ones, not iptables-legacy's.

A transaction is notified as its changes, then a NEWGEN message. Each message has the netlink port of the socket that
sent the transaction: the process id of a program, or of this process for libnftables. A transaction counts as drift
when it touches a chain or table of nplconf, or the base chains with its jumps, and comes neither from this process nor
from a program that it started. A notification that was lost (ENOBUFS) counts as drift, too.
"""

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from nplconf.node import command, netlink
from nplconf.node.netlink import HEADER, NETLINK_NETFILTER, PREFIX, attributes

GROUP_NFTABLES = 7
SUBSYSTEM_NFTABLES = 10
NEWGEN = 15
RULES = (6, 8)
"""NEWRULE, DELRULE: they name a table and a chain."""
CHAINS = (3, 5)
ATTRIBUTE_TABLE, ATTRIBUTE_RULE_CHAIN, ATTRIBUTE_CHAIN_NAME = 1, 2, 3
BASES = ("PREROUTING", "OUTPUT", "POSTROUTING")
OTHER_PORT = 1 << 30
"""Added to the process id for the port of the monitor's socket, so that libnftables' socket gets the process id."""
BUFFER = 4 << 20
"""Bytes of notifications that wait to be read: some 20,000 rules of another program's transaction."""


class Message(NamedTuple):
    """The content of one notification. sender: a netlink port. table, chain: "" where it names none."""

    kind: int
    sender: int
    table: str = ""
    chain: str = ""

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

    def start(self) -> bool:
        """Start the thread. Return False if the kernel refuses the socket; then only the resync finds changes."""
        try:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            sock.bind((OTHER_PORT + os.getpid(), 1 << (GROUP_NFTABLES - 1)))
        except OSError:
            return False
        threading.Thread(target=self._listen, args=(sock,), name="drift", daemon=True).start()
        return True

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
                if touched and not is_own(message):
                    self._drifted()
                touched = False


def is_own(message: Message) -> bool:
    """Return whether this process, or a program that it started, sent the transaction."""
    return message.sender == os.getpid() or message.sender in tuple(command.children)


def messages(data: bytes) -> Iterator[Message]:
    """Yield the nftables messages of a datagram. Raises nothing: what is cut off is left out."""
    for kind, message in netlink.messages(data):
        if kind >> 8 == SUBSYSTEM_NFTABLES:
            *_, sender = HEADER.unpack_from(message)
            yield _message(kind & 0xFF, sender, attributes(message[PREFIX:]))


def _message(kind: int, sender: int, found: dict[int, bytes]) -> Message:
    place = {**dict.fromkeys(RULES, ATTRIBUTE_RULE_CHAIN), **dict.fromkeys(CHAINS, ATTRIBUTE_CHAIN_NAME)}.get(kind)
    chain = _text(found.get(place, b"")) if place else ""
    table = _text(found.get(ATTRIBUTE_TABLE, b"")) if kind != NEWGEN else ""
    return Message(kind, sender, table, chain)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("ascii", "replace")
