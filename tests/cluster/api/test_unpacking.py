"""Compressed bodies: complete, limited, and never in memory at once."""

import gzip
import json
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from nplconf.cluster.api import unpacking
from nplconf.cluster.api.answers import InvalidResponseError, Listing, decoded
from nplconf.cluster.api.transport import Deadline, Reply
from nplconf.errors import UnavailableError

MIB = 1 << 20


def listing(*items: str) -> bytes:
    return ('{"kind":"ServiceList","metadata":{},"items":[' + ",".join(items) + "]}").encode()


def item(number: int, rest: str = "") -> str:
    return f'{{"metadata":{{"name":"s{number}","uid":"u{number}"}}{rest}}}'


def reply(body: bytes) -> Reply:
    return Reply(200, {"content-type": "application/json"}, gzip.compress(body, 9), packed=True)


def read(found: Reply, seconds: float = 15) -> int:
    """How many items there are."""
    with Deadline(seconds) as deadline:
        return sum(1 for _ in Listing("ServiceList").items(found, deadline))


@pytest.mark.parametrize("size", [0, 1, unpacking.PIECE - 1, unpacking.PIECE, unpacking.PIECE + 1, 3 * unpacking.PIECE])
@pytest.mark.parametrize("dull", [True, False])
def test_what_was_packed_comes_out_in_pieces(size: int, dull: bool) -> None:  # noqa: FBT001
    data = b"x" * size if dull else random.Random(1).randbytes(size)

    pieces = list(unpacking.pieces(gzip.compress(data)))

    assert b"".join(pieces) == data
    assert max(map(len, pieces), default=0) <= unpacking.PIECE


@pytest.mark.parametrize("cut", [1, 8, 100, 1000])
def test_a_body_that_is_cut_off_is_an_error(cut: int) -> None:
    with pytest.raises(EOFError):
        unpacking.check(gzip.compress(random.Random(1).randbytes(5000))[:-cut])


def test_a_body_that_is_not_gzip_is_an_error() -> None:
    with pytest.raises(zlib.error):
        unpacking.check(b"{}" * 9)


BOMBS: dict[str, Callable[[], bytes]] = {
    "spaces": lambda: listing(item(1), " " * (480 * MIB)),
    "an item": lambda: listing(item(1, ',"spec":[' + "[]," * (6 * MIB) + "[]]")),
    "a member": lambda: b'{"metadata":{"a":[' + b"[]," * (6 * MIB) + b"[]]}}",
    "a text": lambda: b'{"a":"' + b"x" * (60 * MIB) + b'"}',
    "nested": lambda: b"[" * (60 * MIB),
}
"""Made when they are needed: as parameters they would take 1 GiB of each worker."""


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_answer_that_unpacks_to_much_is_refused_in_little_memory(bomb: str) -> None:
    found = reply(BOMBS[bomb]())
    assert len(found.body) < MIB
    tracemalloc.start()
    try:
        for use in (lambda: read(found, 60), lambda: decoded(found)):
            with pytest.raises(InvalidResponseError):
                use()
        assert tracemalloc.get_traced_memory()[1] < 150 * MIB
    finally:
        tracemalloc.stop()


def test_a_long_list_is_read_item_by_item_in_little_memory() -> None:
    rest = f',"spec":{json.dumps(random.Random(1).randbytes(500).hex())}'
    found = reply(listing(*(item(number, rest) for number in range(20_000))))
    tracemalloc.start()
    try:
        assert read(found) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def test_a_list_that_takes_too_long_to_parse_ends_at_the_deadline() -> None:
    found = reply(listing(*(item(number) for number in range(300_000))))

    start = time.monotonic()
    with pytest.raises(UnavailableError, match="no whole answer in"):
        read(found, 0.05)

    assert time.monotonic() - start < 0.5


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":"ServiceList","items":[],"items":[]}',
        listing(item(1, ',"spec":"\\ud800"')),
        listing(item(1, ',"spec":"' + "x" * unpacking.PIECE + '\\ud800"')),
        listing(item(1, ',"spec":NaN')),
        listing(item(1)) + b"x",
        b"",
    ],
)
def test_what_is_no_list_is_an_invalid_response(body: bytes) -> None:
    with pytest.raises(InvalidResponseError):
        read(reply(body))


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert read(reply(listing(item(1, ',"spec":"\\ud83d\\ude00"')))) == 1
