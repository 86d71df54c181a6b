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
LOCK = ".nplconf-hold.lock"
"""The name of the lock file, beside the socket."""


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
    listener, made = listen(path)
    try:
        with listener:
            yield listener
    finally:
        remove(path, made)


def listen(path: str) -> tuple[socket.socket, os.stat_result]:
    """Return a listening socket at the path (0600), and what its file is; a dead daemon's file is replaced.

    Raises BusyError, BadConfigError, PermissionDeniedError.
    """
    with _named_errors(path):
        return _listen(path)


def remove(path: str, made: os.stat_result) -> None:
    """Remove the file unless another one is at its place."""
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
    """Hold a lock that only root and this user can open: two daemons that start at once would replace one dead file.

    The directory itself is no lock: any user who can read it could hold that for ever. The lock file is removed again.
    """
    path = os.path.join(directory, LOCK)  # noqa: PTH118
    until = time.monotonic() + LOCK_SECONDS
    while (fd := _locked(path)) is None:
        if time.monotonic() > until:
            raise BusyError(f"another program has locked {path}")
        time.sleep(0.02)
    try:
        yield
    finally:
        os.unlink(path)
        os.close(fd)


def _require_private(path: str, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o077:
        raise BadConfigError(f"{path} can be opened by other users. Fix: rm {path}")


def _locked(path: str) -> int | None:
    """Return the lock's descriptor; None while another program has it. Raises OSError, BadConfigError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(fd)
        _require_private(path, status)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.lstat(path), status):  # or the daemon before us has just removed it
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None
