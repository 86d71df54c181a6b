"""Writing a file that others read: they find the old text or the new one, also when the run is killed in its midst."""

import contextlib
import os
import re
import stat
from functools import cache
from pathlib import Path

_END = ".nplconf"
_NAME = 60
"""Characters of a file's name that its temporary file's has: a file system takes 255 bytes, and one has up to four."""
_LEFT = re.compile(rf"\..{{1,{_NAME}}}\.(\d{{1,10}})" + re.escape(_END), re.DOTALL)


def replace(path: Path, data: bytes, *, mode: int | None = None, durable: bool = False) -> None:
    """Put data at path in one step, under the mode and the owner of what was there.

    mode: to be had whatever was there. durable: on the disk when this returns. What is there and no regular file, as
    /dev/stdout, is written to; a symlink is followed. Raises OSError.
    """
    before = _status(path)
    if before and not stat.S_ISREG(before.st_mode):
        _write_to(path, data)
        return
    path = Path(os.path.realpath(path))
    _sweep(path.parent)
    temporary = path.with_name(f".{path.name[:_NAME]}.{os.getpid()}{_END}")
    # O_EXCL: in a directory that others may write to, the file must be one that we have made
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            _give(descriptor, before, mode)
            file.flush()
            if durable:
                os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Have the names in a directory on the disk, too; some file systems refuse, where a rename is done all the same."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _write_to(path: Path, data: bytes) -> None:
    """O_NONBLOCK: a FIFO that nobody reads is an error, and nothing to wait for."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _give(descriptor: int, before: os.stat_result | None, mode: int | None) -> None:
    mine = os.fstat(descriptor)
    if before and (mine.st_uid, mine.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(PermissionError):  # only root may give files away, and the text matters more
            os.fchown(descriptor, before.st_uid, before.st_gid)
    if mode is not None or before:
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode) if mode is None and before else mode or 0)


@cache
def _sweep(directory: Path) -> None:
    """Remove what killed runs left in a directory; a run that still goes on keeps its own.

    Once for each process: who writes 5,000 plans shall not look through 5,000 names each time.
    """
    with contextlib.suppress(OSError):  # no right to look, or to remove: that is no reason not to write
        for other in directory.iterdir():
            found = _LEFT.fullmatch(other.name)
            if found and (int(found[1]) == os.getpid() or not Path("/proc", found[1]).exists()):
                other.unlink()
