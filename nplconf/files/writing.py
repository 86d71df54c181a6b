"""The one way to write a file: readers see the old text or the new one, even if the run is killed in between.

There are two kinds of files:

- `replace` writes a file that a person names (a plan, the metrics, a cluster file). It follows a link, writes to a
  device or a pipe, and keeps the mode and owner of the file.
- `put` writes a file of nplconf (the state, a unit). It replaces a link instead of following it, sets the exact mode,
  and makes the current user the owner.

Both open each directory of the path in turn, and work on the open directory. Therefore nobody can replace a directory
by a link meanwhile. Root follows no link that another user owns, nor one in a directory that another user owns: such a
link could lead root to any file of the system. Other users have only their own rights, and follow every link.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_END = ".nplconf"
_NAME = 60
"""Characters of the file's name in that of its temporary file. A file system allows 255 bytes, and a character has up
to four.
"""
_LEFT = re.compile(rf"\..{{1,{_NAME}}}\.(\d{{1,10}})" + re.escape(_END), re.DOTALL)
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40
"""The most links in one path, the same as in the kernel."""
_NO_PATH = re.compile(r"[a-z_]+:.*")
"""The target of /proc/self/fd/1 if standard output is a pipe or a socket."""
_swept: set[tuple[int, int]] = set()
"""Device and inode of the directories that this process has swept."""


def replace(path: Path, data: bytes, *, mode: int | None = None, durable: bool = False) -> None:
    """Replace a file that a person names. On an error the old file is unchanged.

    Args:
        path: The file. It may lead over links, see above.
        data: The new content.
        mode: The new mode. Without it the file keeps its own; a new file gets 0644 less the umask.
        durable: Return only when the data is on the disk.

    Raises:
        OSError: The file cannot be written, or a link is not followed.
    """
    with _place(path, follow=True) as place:
        if place.status and not stat.S_ISREG(place.status.st_mode):
            _write_to(place, data)
        else:
            _put(place, data, mode, durable=durable)


def put(path: Path, data: bytes, mode: int, *, durable: bool = True) -> None:
    """Write a file of nplconf. On an error the old file is unchanged.

    Args:
        path: The file.
        data: The new content.
        mode: The new mode.
        durable: Return only when the data and the name are on the disk.

    Raises:
        OSError: The file cannot be written.
    """
    with _place(path, follow=False) as place:
        _put(place._replace(status=None), data, mode, durable=durable)


def sweep(directory: Path) -> None:
    """Remove temporary files that killed runs left in a directory. Errors are ignored."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, _DIRECTORY)
        try:
            _sweep(descriptor)
        finally:
            os.close(descriptor)


# --- where a path leads ----------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """A name in an open directory.

    Attributes:
        directory: The descriptor of the directory.
        name: The name of the file in it.
        status: The status of the existing file; None without one.
        magic: The name is a link of /proc to an open pipe or socket, which only the kernel can follow.
    """

    directory: int
    name: str
    status: os.stat_result | None
    magic: bool = False


@contextlib.contextmanager
def _place(path: Path, *, follow: bool) -> Iterator[_Place]:
    """Open the directory of the file. follow: also follow a link at the end of the path."""
    with contextlib.ExitStack() as opened:
        directory = _enter("/" if path.is_absolute() else ".", None, opened)
        steps, links = _steps(str(path)), 0
        while steps:
            name = steps.pop()
            status = _status(name, directory)
            if status and stat.S_ISLNK(status.st_mode) and (steps or follow):
                links += 1
                target = _target(path, name, status, directory, links)
                if _NO_PATH.fullmatch(target):
                    yield _Place(directory, name, os.stat(name, dir_fd=directory), magic=True)
                    return
                if target.startswith("/"):
                    directory = _enter("/", None, opened)
                steps += _steps(target)
            elif steps or name == "..":
                directory = _enter(name, directory, opened)
            else:
                yield _Place(directory, name, status)
                return
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _steps(path: str) -> list[str]:
    """Return the names of a path, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _enter(name: str, directory: int | None, opened: contextlib.ExitStack) -> int:
    descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
    opened.callback(os.close, descriptor)
    return descriptor


def _status(name: str, directory: int) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None


def _target(path: Path, name: str, status: os.stat_result, directory: int, links: int) -> str:
    """Return the target of a link. Raises OSError if it must not be followed."""
    if links > _LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    owners = {status.st_uid, os.fstat(directory).st_uid}
    if os.geteuid() == 0 and owners != {0}:
        other = max(owners)
        raise OSError(errno.ELOOP, f"root does not follow the link {name!r}: user {other} controls it", str(path))
    return os.readlink(name, dir_fd=directory)


# --- writing there ---------------------------------------------------------------------------------------------------


def _put(place: _Place, data: bytes, mode: int | None, *, durable: bool) -> None:
    """Write a temporary file beside the name, then rename it. O_EXCL: this process must have created it."""
    _sweep(place.directory)
    temporary = f".{place.name[:_NAME]}.{os.getpid()}{_END}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    private = mode is not None or place.status
    descriptor = os.open(temporary, flags, 0o600 if private else 0o644, dir_fd=place.directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _give(descriptor, place.status, mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(descriptor)
        os.rename(temporary, place.name, src_dir_fd=place.directory, dst_dir_fd=place.directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=place.directory)
        raise
    if durable:
        _sync(place.directory)


def _write_to(place: _Place, data: bytes) -> None:
    """Write to a device or a pipe. O_NONBLOCK: a FIFO without a reader is an error instead of a wait."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if place.magic else os.O_NOFOLLOW)
    descriptor = os.open(place.name, flags, dir_fd=place.directory)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _give(descriptor: int, before: os.stat_result | None, mode: int | None) -> None:
    """Give a new file the owner of the file that it replaces, and its mode without set-user-ID and set-group-ID."""
    mine = os.fstat(descriptor)
    if before and (mine.st_uid, mine.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(PermissionError):  # only root may change the owner; the content is more important
            os.fchown(descriptor, before.st_uid, before.st_gid)
    if mode is None and before:
        mode = before.st_mode & 0o777
    if mode is not None:
        os.fchmod(descriptor, mode)


def _sync(directory: int) -> None:
    """Flush a directory's names to the disk. Some file systems refuse; the rename is done all the same."""
    with contextlib.suppress(OSError):
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(directory: int) -> None:
    """Remove the temporary files of killed runs in a directory. A run that still goes on keeps its own.

    Once per process and directory: writing 5,000 plans must not list 5,000 names each time.
    """
    status = os.fstat(directory)
    if (status.st_dev, status.st_ino) in _swept:
        return
    _swept.add((status.st_dev, status.st_ino))
    with contextlib.suppress(OSError):  # without the right to list or remove, the write goes on
        for other in Path("/proc/self/fd", str(directory)).iterdir():
            found = _LEFT.fullmatch(other.name)
            if found and (int(found[1]) == os.getpid() or not Path("/proc", found[1]).exists()):
                os.unlink(other.name, dir_fd=directory)
