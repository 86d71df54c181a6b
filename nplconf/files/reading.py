"""Read a file of another author: only a regular file, only up to a size, only UTF-8."""

import os
import stat

from nplconf.characters import escaped
from nplconf.errors import BadDataError
from nplconf.files.strict_yaml import Limits

STDIN = "-"


class MissingFileError(BadDataError):
    """The file does not exist. Some callers can do without it."""


def read_text(path: str, cap: int = Limits().characters) -> str:
    """Return the text of a file. A FIFO could block for ever and a device could be endless, so both are refused.

    Args:
        path: The file; `-` is stdin, which may be a pipe.
        cap: The largest size in bytes.

    Raises:
        MissingFileError: The file does not exist.
        BadDataError: It cannot be read, is too large, or is not UTF-8. The message names the file.
    """
    name = "stdin" if path == STDIN else escaped(path)
    try:
        data = _read_stdin(cap) if path == STDIN else _read_regular(path, cap)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadDataError(f"{name}: cannot be read: {reason}") from None
    if len(data) > cap:
        raise BadDataError(f"{name}: larger than {cap} bytes")
    if encoding := foreign_encoding(data):
        raise BadDataError(f"{name}: {encoding}")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadDataError(f"{name}:{line}: not UTF-8") from None


def foreign_encoding(data: bytes) -> str | None:
    """Return a message if a text begins like UTF-16 or UTF-32, otherwise None.

    A decoder does not find UTF-16 of ASCII letters without a mark: it is valid UTF-8, full of NULs.
    """
    first = data[:4]
    if first in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        found = "UTF-32"
    elif first[:2] in (b"\xff\xfe", b"\xfe\xff") or _halves(first[:2]) or _halves(first[2:]):
        found = "UTF-16"
    else:
        return None
    return f"is {found}, as `>` of Windows PowerShell writes it; save it as UTF-8"


def _halves(pair: bytes) -> bool:
    """Return whether two bytes are one ASCII character in UTF-16: one of them is NUL."""
    return len(pair) == 2 and pair.count(0) == 1 and chr(max(pair)) in _ASCII


_ASCII = frozenset("\t\n\r" + "".join(map(chr, range(0x20, 0x7F))))


def _read_stdin(cap: int) -> bytes:
    """Read up to cap + 1 bytes from the descriptor: `sys.stdin` is None if stdin is closed."""
    with open(0, "rb", closefd=False) as file:
        return file.read(cap + 1)


def _read_regular(path: str, cap: int) -> bytes:
    """Read up to cap + 1 bytes. O_NONBLOCK: opening a FIFO without a writer must not block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - an open descriptor
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, f"it is {_KINDS.get(stat.S_IFMT(mode), 'no regular file')}, not a regular file")
        return file.read(cap + 1)


_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
