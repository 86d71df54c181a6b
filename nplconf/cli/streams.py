"""The standard streams, if the caller has closed them or reads no more.

A run is not interrupted because nobody reads its output.
"""

import errno
import io
import os
import sys
from typing import TextIO


def open_missing() -> None:
    """Open /dev/null for each closed standard descriptor.

    Otherwise the next opened file would get its number, and child processes and `print` would write to it. sys.stdin
    stays None.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # the descriptor is the lowest free number, since all lower ones are open
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def show_anything() -> None:
    """Make stdout escape what its character set lacks, as stderr does, so that no name from the cluster ends a run."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def silence(stream: TextIO) -> None:
    """Redirect a stream to /dev/null, so that flushing it at exit raises no error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def refused(err: OSError) -> bool:
    """Return whether an error comes from a write to an open descriptor, which can only be stdout.

    An error of any other written file has a file name, or its caller handles it.
    """
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
    return err.filename is None and err.errno in full
