"""Reading a file that somebody else wrote: only a regular one, only so much of it, only UTF-8."""

import os
import stat

from nplconf.errors import BadDataError
from nplconf.files.strict_yaml import Limits, printable

STDIN = "-"


class MissingFileError(BadDataError):
    """There is no such file. Some callers can do without it."""


def read_text(path: str, cap: int = Limits().characters) -> str:
    """The text of a file of at most `cap` bytes; `-` is stdin, which alone may be a pipe.

    A FIFO would make us wait for ever, a device feed us for ever. Raises BadDataError that names the file,
    MissingFileError where there is none.
    """
    name = "stdin" if path == STDIN else printable(path)
    try:
        data = _read_stdin(cap) if path == STDIN else _read_regular(path, cap)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadDataError(f"{name}: cannot be read: {reason}") from None
    if len(data) > cap:
        raise BadDataError(f"{name}: larger than {cap} bytes")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadDataError(f"{name}:{line}: not UTF-8") from None


def _read_stdin(cap: int) -> bytes:
    """Up to cap + 1 bytes, by descriptor: `sys.stdin` is None where stdin is closed."""
    with open(0, "rb", closefd=False) as file:
        return file.read(cap + 1)


def _read_regular(path: str, cap: int) -> bytes:
    """Up to cap + 1 bytes. O_NONBLOCK: opening a FIFO without a writer must not block either."""
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
