"""Reading what an earlier run left in the state directory: only a regular file of root's that nobody else may write."""

import os
import stat
from pathlib import Path

from nplconf.errors import BadDataError


def read(path: Path, limit: int) -> bytes:
    """A file of at most `limit` bytes. Raises OSError, FileNotFoundError among them, BadDataError for a stranger's."""
    # a link could lead anywhere, a FIFO would hang
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
