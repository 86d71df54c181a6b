"""The daemon's socket file: only root can use it, a live daemon's is never replaced, and it is removed at the end."""

# ruff: noqa: PTH103, PTH108, PTH120 -- pathlib would cost 5 ms and 1 MiB, and nothing else here needs it

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
"""The name of the lock file, in the directory of the socket."""


def refuse_second(path: str) -> None:
    """Check that no other daemon listens at a path.

    Raises:
        BusyError: A daemon runs there.
        BadConfigError: The path is not a socket, or unusable.
        PermissionDeniedError: The path is not accessible.
    """
    with _named_errors(path):
        _refuse_second(path)


def _refuse_second(path: str) -> None:
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
            pass  # its queue is full: it hangs, but runs
    raise BusyError(f"another hold daemon has {path}")


@contextlib.contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    """Yield a listening socket at the path (mode 0600). Replace a dead daemon's file; remove our file at the end.

    Raises:
        BusyError: A daemon runs there.
        BadConfigError: The path is unusable.
        PermissionDeniedError: The path is not writable.
    """
    listener, made = listen(path)
    try:
        with listener:
            yield listener
    finally:
        remove(path, made)


def listen(path: str) -> tuple[socket.socket, os.stat_result]:
    """Return a listening socket at the path (mode 0600) and the identity of its file. Replace a dead daemon's file.

    Raises:
        BusyError: A daemon runs there.
        BadConfigError: The path is unusable.
        PermissionDeniedError: The path is not writable.
    """
    with _named_errors(path):
        return _listen(path)


def remove(path: str, made: os.stat_result) -> None:
    """Remove the socket file unless another file has replaced it."""
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
        _refuse_second(path)
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
    """Hold a lock in the directory, since two daemons that start together would both replace a dead daemon's file.

    Only root and this user can open the lock file. The directory itself would not do as a lock: any user who can read
    it could hold the lock for ever. The lock file is removed at the end.
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
    """Return the descriptor of the lock; None while another program has it. Raises OSError, BadConfigError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(fd)
        _require_private(path, status)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.lstat(path), status):  # otherwise another daemon has just removed the file
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None
