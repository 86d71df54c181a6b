"""The socket file at which the daemon is asked: root's alone, not taken from one that lives, removed at the end."""

# ruff: noqa: PTH103, PTH108, PTH120 -- pathlib is 5 ms and a MiB that this daemon has no other use for

import contextlib
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator

from nplconf.errors import BadConfigError, BusyError, PermissionDeniedError

BACKLOG = 128
LOCK_SECONDS = 2.0


def refuse_second(path: str) -> None:
    """Raise BusyError when a daemon lives at the path, BadConfigError when something else than a socket is there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BadConfigError(f"{path} is there and is no socket: choose another --hold-socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except BlockingIOError:
            pass  # its queue is full: it is stuck, not gone
    raise BusyError(f"another hold daemon has {path}")


@contextlib.contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    """A listening socket at the path (0600); a dead daemon's file is replaced, and ours is removed at the end.

    Raises BusyError, BadConfigError, PermissionDeniedError.
    """
    with _named_errors(path):
        listener, made = _listen(path)
    try:
        with listener:
            yield listener
    finally:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.lstat(path), made):
                os.unlink(path)


@contextlib.contextmanager
def _named_errors(path: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise PermissionDeniedError(f"cannot listen at {path}: {error.strerror}") from error
    except OSError as error:
        raise BadConfigError(f"cannot listen at {path}: {error.strerror or error}") from error


def _listen(path: str) -> tuple[socket.socket, os.stat_result]:
    directory = os.path.dirname(path) or "."
    os.makedirs(directory, 0o755, exist_ok=True)
    with _alone_in(directory):
        refuse_second(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(path)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
        return listener, os.lstat(path)


@contextlib.contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """Two daemons that start at once would both find a dead one's file. A lock on the directory leaves no file."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise BusyError(f"another program has locked {directory}") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(fd)
