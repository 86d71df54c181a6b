"""Which notifications of the kernel count as drift."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.watch.drift import NEWGEN, Message, messages


def attribute(kind: int, text: str) -> bytes:
    value = text.encode() + b"\0"
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def datagram(*parts: tuple[int, bytes]) -> bytes:
    """Messages of the nftables subsystem, as (type, attributes)."""
    found = b""
    for kind, attributes in parts:
        found += struct.pack("=IHHII", 20 + len(attributes), 10 << 8 | kind, 0, 0, 0) + b"\0" * 4 + attributes
    return found


def test_a_transaction_is_read_as_its_rules_and_the_program() -> None:
    rule = attribute(1, "nat") + attribute(2, "NPLCONF-TCP")
    done = attribute(3, "iptables-nft-re")
    found = list(messages(datagram((6, rule), (NEWGEN, done))))
    assert found == [Message(6, "nat", "NPLCONF-TCP"), Message(NEWGEN, program="iptables-nft-re")]


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        (Message(8, "nat", "NPLCONF-TCP-EE4"), True),
        (Message(8, "nat", "PREROUTING"), True),
        (Message(6, "nat", "KUBE-SERVICES"), False),
        (Message(6, "filter", "INPUT"), False),
        (Message(5, "nat", "NPLCONF"), True),
        (Message(2, "nat"), True),
        (Message(2, "filter"), False),
        (Message(14, "nplconf"), True),
        (Message(12, "kube-proxy"), False),
    ],
)
def test_what_concerns_the_rules_of_nplconf(message: Message, ours: bool) -> None:  # noqa: FBT001 a parameter
    assert message.concerns_us is ours


@given(st.binary(max_size=200))
def test_no_datagram_raises(data: bytes) -> None:
    list(messages(data))
