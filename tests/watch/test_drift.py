"""Which notifications of the kernel count as drift."""

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.node import command
from nplconf.watch.drift import NEWGEN, Message, is_own, messages

SENDER = 812


def attribute(kind: int, text: str) -> bytes:
    value = text.encode() + b"\0"
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def datagram(*parts: tuple[int, bytes]) -> bytes:
    """Messages of the nftables subsystem, as (type, attributes)."""
    found = b""
    for kind, attributes in parts:
        found += struct.pack("=IHHII", 20 + len(attributes), 10 << 8 | kind, 0, 0, SENDER) + b"\0" * 4 + attributes
    return found


def test_a_transaction_is_read_as_its_rules_and_who_sent_it() -> None:
    rule = attribute(1, "nat") + attribute(2, "NPLCONF-TCP")
    done = struct.pack("=HH", 8, 1) + (1000).to_bytes(4, "big") + attribute(3, "iptables-nft-re")
    found = list(messages(datagram((6, rule), (NEWGEN, done))))
    assert found == [Message(6, SENDER, "nat", "NPLCONF-TCP"), Message(NEWGEN, SENDER)]


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        (Message(8, SENDER, "nat", "NPLCONF-TCP-EE4"), True),
        (Message(8, SENDER, "nat", "PREROUTING"), True),
        (Message(6, SENDER, "nat", "KUBE-SERVICES"), False),
        (Message(6, SENDER, "filter", "INPUT"), False),
        (Message(5, SENDER, "nat", "NPLCONF"), True),
        (Message(2, SENDER, "nat"), True),
        (Message(2, SENDER, "filter"), False),
        (Message(14, SENDER, "nplconf"), True),
        (Message(12, SENDER, "kube-proxy"), False),
    ],
)
def test_what_concerns_the_rules_of_nplconf(message: Message, ours: bool) -> None:  # noqa: FBT001 a parameter
    assert message.concerns_us is ours


def test_our_own_are_the_transactions_of_this_process_and_of_its_programs() -> None:
    command.run("true", deadline=10.0)
    (child,) = tuple(command.children)[-1:]
    assert is_own(Message(NEWGEN, child))
    assert is_own(Message(NEWGEN, os.getpid()))
    assert not is_own(Message(NEWGEN, os.getppid()))
    assert not is_own(Message(NEWGEN, 0))


@given(st.binary(max_size=200))
def test_no_datagram_raises(data: bytes) -> None:
    list(messages(data))
