"""One run at a time: a lock on the state directory itself. It works on a read-only file system too."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from nplconf.deadline import current
from nplconf.errors import BusyError, PermissionDeniedError

WAIT = 30.0
"""Seconds to wait for another run."""


@contextlib.contextmanager
def locked(directory: str, wait: float = WAIT) -> Iterator[None]:
    """Hold the node's lock in a `with` block. The kernel releases it however the process ends.

    Args:
        directory: The state directory.
        wait: Seconds.

    Raises:
        BusyError: Another run still holds the lock after `wait`.
        PermissionDeniedError: The directory cannot be opened.
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as err:
        raise PermissionDeniedError(f"{directory}: the state directory cannot be opened: {err.strerror}") from err
    try:
        _acquire(handle, directory, wait)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, directory: str, wait: float) -> None:
    end = time.monotonic() + current().left(wait)
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise BusyError(
                    f"{directory}: another run holds the lock since {wait:.0f} s; try again later"
                ) from None
            time.sleep(0.05)
        else:
            return
