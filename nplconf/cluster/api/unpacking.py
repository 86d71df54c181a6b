"""The body of an answer, unpacked piece by piece and within bounds.

Gzip packs a megabyte of spaces into a kilobyte: 477 KiB unpacked to 480 MB. So the unpacked size may exceed `PLAIN`
only by `RATIO` times the packed size; lists of Kubernetes objects shrink to a fifth or a twentieth.
"""

import codecs
import zlib
from collections.abc import Iterator

BLOCK = 16 << 10
"""Packed bytes that are unpacked at once."""
PIECE = 256 << 10
"""Unpacked bytes that are in memory at once."""
PLAIN = 16 << 20
RATIO = 100


class TooLargeError(ValueError):
    """The unpacked body exceeds its bound."""


def pieces(body: bytes) -> Iterator[bytes]:
    """Unpack gzip. Raises EOFError for a body that is cut off, zlib.error, TooLargeError."""
    unpacker = zlib.decompressobj(wbits=31)
    most = PLAIN + RATIO * len(body)
    left = most
    for start in range(0, len(body), BLOCK):
        data, more = body[start : start + BLOCK], True
        while more and not unpacker.eof:
            piece = unpacker.decompress(data, PIECE)
            data = unpacker.unconsumed_tail
            more = bool(data) or len(piece) == PIECE
            left -= len(piece)
            if left < 0:
                raise TooLargeError(f"{len(body) >> 10} KiB of gzip unpack to more than {most >> 20} MiB")
            yield piece
    if not unpacker.eof:
        raise EOFError


def check(body: bytes) -> None:
    """Raise EOFError or zlib.error for gzip that is not whole. What exceeds the bound is left to who unpacks it."""
    try:
        for _ in pieces(body):
            pass
    except TooLargeError:
        pass


def texts(parts: Iterator[bytes]) -> Iterator[str]:
    """Decode UTF-8 part by part. Raises UnicodeDecodeError."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for part in parts:
        yield decoder.decode(part)
    yield decoder.decode(b"", final=True)
