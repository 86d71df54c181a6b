"""Read trusted files: those that earlier runs wrote into the state directory. Only root may be able to write them."""

import os
import stat
from pathlib import Path

from nplconf.errors import BadDataError


def read(path: Path, limit: int) -> bytes:
    """Return the content of a trusted file.

    Args:
        path: The file.
        limit: The largest size in bytes.

    Raises:
        OSError: The file cannot be read; FileNotFoundError if it does not exist.
        BadDataError: It is too large, not a regular file, or another user can write it.
    """
    # a link could lead anywhere, and a FIFO would block
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise BadDataError("not a regular file of a possible size")
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise BadDataError(f"others than root can write it: user {status.st_uid}, mode {status.st_mode & 0o777:o}")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)
