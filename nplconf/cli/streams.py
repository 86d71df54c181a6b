"""The standard streams of a process whose caller has closed them, or takes nothing from them any more.

What is said or printed is for somebody who may be gone; a run is not left half done for that.
"""

import errno
import io
import os
import sys
from typing import TextIO


def open_missing() -> None:
    """Put /dev/null where a standard descriptor is closed.

    Else a file of ours would get its number, and be what a child, or a `print`, writes to. stdin stays known as closed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # it is the lowest free number, as those below it are there by now
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def show_anything() -> None:
    """Have stdout, as stderr, escape what its character set lacks: no name from the cluster ends a run half-way."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def silence(stream: TextIO) -> None:
    """Let all that is still to be written to a stream vanish, so that nothing complains of it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def refused(err: OSError) -> bool:
    """Whether an error is that of a write to an open descriptor which takes nothing more.

    Every other file that is written has a name in its error, or one who knows what it is for: what is left is stdout.
    """
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
    return err.filename is None and err.errno in full
