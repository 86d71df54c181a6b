"""A file, or several, as the cluster: what kubectl prints, and with `write_back` the annotations written to a file.

The write-back file, when it is one of several inputs, keeps its own objects only: were the other files' objects copied
into it, they would come back from it after they are gone from their own file. When it is no input, it holds them all.
Writing is one rename, so a reader, and the next run, sees the file before or after it.
"""

import contextlib
import errno
import itertools
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from nplconf.cluster import json_items as stream
from nplconf.cluster.documents import Located, Place
from nplconf.cluster.file import formats
from nplconf.cluster.file.merge_patch import annotated
from nplconf.cluster.objects import state
from nplconf.errors import BadDataError
from nplconf.files import writing
from nplconf.model import ClusterState, Event, Failure, Patch

if TYPE_CHECKING:  # only doctor pays for it
    from nplconf.model import Right

DUMP = "kubectl get nodes,pods,services -A -o yaml"
"""The command that writes such a file."""
FILE_BYTES = 2**30
STDIN = "-"
_STEP = "publish"
_BLANK = b"\xef\xbb\xbf \t\r\n"
"""Bytes before the first character of JSON: a byte order mark, and spaces."""


class _Stamp(NamedTuple):
    """The identity of a file's content."""

    inode: int
    size: int
    modified: int


class FileCluster:
    """Files as `Cluster`. `-` is stdin. write_back None: patches are reported and not written."""

    def __init__(self, files: Sequence[str], write_back: str | None, stdin: BinaryIO | None = None) -> None:
        self._files = tuple(files)
        self._target = Path(os.path.realpath(write_back)) if write_back else None
        self._write_back = write_back
        self._stdin = stdin
        self._contents: dict[str, formats.Content] = {}
        self._stamps: dict[str, _Stamp | None] = {}
        self._passed: tuple[str | None, ClusterState] | None = None
        """What came through a pipe, which does not come again; and the node it was read for."""

    def snapshot(self, node: str | None) -> ClusterState:
        """Return the files as they are now, with the patches of this run. Raises BadDataError that names the file."""
        if self._passed and self._passed[0] == node:
            return self._passed[1]
        objects = ((o.kind, o.raw) for name in self._files for o in self._objects(name))
        first = next(objects, None)
        if first is None:
            raise BadDataError(f"{', '.join(map(_shown, self._files))}: no Kubernetes object at all")
        found = state(itertools.chain((first,), objects), node)
        if STDIN in self._files and STDIN not in self._contents:
            self._passed = (node, found)
        return found

    def _objects(self, name: str) -> Iterator[Located]:
        """Yield the objects of a file. JSON that is not the write-back file is read item by item, at any size."""
        if self._target is None and (name != STDIN or name not in self._contents):
            try:
                with self._open(name) as file:
                    if file.peek(1).lstrip(_BLANK)[:1] == b"{":
                        yield from stream.objects(file, _shown(name))
                        return
            except (OSError, ValueError) as error:
                raise BadDataError(f"{_shown(name)}: {_reason(error)}") from None
        self._refresh()
        yield from formats.objects(self._contents[name])

    def _open(self, name: str) -> "contextlib.AbstractContextManager[BufferedReader[Any]]":
        return contextlib.nullcontext(self._pipe()) if name == STDIN else _opened(name)

    def _pipe(self) -> "BufferedReader[Any]":
        """Return stdin with a buffer to peek into. Raises BadDataError if it is closed."""
        if isinstance(self._stdin, BufferedReader):
            return self._stdin
        if self._stdin is None and sys.stdin is None:
            raise BadDataError(f"{_shown(STDIN)}: is closed")
        found: BufferedReader[Any] = BufferedReader(self._stdin or sys.stdin.buffer)
        self._stdin = found
        return found

    @property
    def writable(self) -> bool:
        """See `Cluster`."""
        return self._target is not None

    def patch(self, patches: Sequence[Patch]) -> tuple[Failure, ...]:
        """Write the annotations to the write-back file; a file that does not change is not written."""
        if self._target is None or not patches:
            return ()
        try:
            self._refresh()
            return self._patch(self._target, patches)
        except (BadDataError, OSError, RecursionError) as error:
            message = f"cannot write {self._write_back}: {_reason(error)}"
            return tuple(Failure(_STEP, p.pod.key, message) for p in patches)

    def post_events(self, events: Sequence[Event], node: str) -> tuple[Event, ...]:
        """Return all Events as not created: a file has none."""
        del node
        return tuple(events)

    def rights(self, node: str, *, events: bool) -> "tuple[Right, ...]":
        """Return whether the files can be read, and the write-back file can be replaced."""
        del node, events
        import shlex

        from nplconf.model import Right

        found = [
            Right(f"read {_shown(name)}", name == STDIN or os.access(name, os.R_OK), f"{DUMP} >{shlex.quote(name)}")
            for name in self._files
        ]
        if self._target:
            place = self._target.parent
            made = f"mkdir -p {shlex.quote(str(place))}"
            found.append(Right(f"write {self._write_back}", os.access(place, os.W_OK), made))
        return tuple(found)

    def _patch(self, target: Path, patches: Sequence[Patch]) -> tuple[Failure, ...]:
        own = [name for name in self._files if name != STDIN and Path(os.path.realpath(name)) == target]
        names = own[:1] or list(dict.fromkeys(self._files))
        changes, failures = _changes({name: self._contents[name] for name in names}, patches)
        if changes:
            contents = {name: formats.replaced(self._contents[name], changes.get(name, {})) for name in names}
            every = list(contents.values())
            _replace(
                Path(self._write_back or target), formats.dump(every[0] if len(every) == 1 else formats.merged(every))
            )
            self._contents |= contents
            self._stamps |= {name: _stamp(Path(name).stat()) for name in own}
        return failures

    def _refresh(self) -> None:
        """Read the files that were not read yet or have changed since: another run may have written them."""
        for name in self._files:
            if name == STDIN:
                if name not in self._contents:
                    self._contents[name] = formats.parse(_read_stdin(self._pipe()), _shown(name))
            else:
                self._refresh_file(name)

    def _refresh_file(self, name: str) -> None:
        try:
            with _opened(name) as file:
                stamp = _stamp(os.fstat(file.fileno()))
                if name in self._contents and self._stamps.get(name) == stamp:
                    return
                data = _bounded(file, name)
        except (OSError, ValueError) as error:
            raise BadDataError(f"{name}: {_reason(error)}") from None
        self._contents[name], self._stamps[name] = formats.parse(data, name), stamp


def _changes(
    contents: dict[str, formats.Content], patches: Sequence[Patch]
) -> tuple[dict[str, dict[Place, dict[str, Any]]], tuple[Failure, ...]]:
    """Return the changed Pods by file and place, and the patches that are refused."""
    wanted = {p.pod.key: p for p in patches}
    places: dict[str, list[tuple[str, Located]]] = {key: [] for key in wanted}
    for name, content in contents.items():
        for located in formats.objects(content):
            if located.kind == "Pod" and (key := _key(located.raw)) in wanted:
                places[key].append((name, located))
    changes: dict[str, dict[Place, dict[str, Any]]] = {}
    failures: list[Failure] = []
    for key, found in places.items():
        results = [(name, located, annotated(located.raw, wanted[key], time.time())) for name, located in found]
        served = [(name, located, result) for name, located, result in results if isinstance(result, dict)]
        if not served:
            why = next((str(r) for _, _, r in results), "no such Pod in the file")
            failures.append(Failure(_STEP, key, why, refused=bool(results)))
        for name, located, result in served:
            if result != located.raw:
                changes.setdefault(name, {})[located.place] = result
    return changes, tuple(failures)


def _key(raw: Any) -> str | None:
    """Return namespace/name of a raw Pod, None without a name."""
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return None
    return f"{metadata.get('namespace') or 'default'}/{metadata['name']}"


def _opened(name: str) -> "BufferedReader[Any]":
    """Open a regular file. O_NONBLOCK: opening a FIFO would wait for a writer."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        advice = "; - reads stdin" if stat.S_ISFIFO(kind) else ""
        raise OSError(errno.EINVAL, f"is no regular file{advice}")
    return os.fdopen(descriptor, "rb")


def refuse_unreadable(files: Sequence[str]) -> None:
    """Raise BadDataError if one of the files is missing or cannot be opened."""
    for name in files:
        try:
            _opened(name).close()
        except (OSError, ValueError) as error:
            raise BadDataError(f"{_shown(name)}: {_reason(error)}") from None


def _bounded(file: BinaryIO, name: str) -> bytes:
    """Return the content of a file that is not JSON, up to the limit for YAML."""
    data = file.read(formats.YAML_BYTES + 1)
    if len(data) > formats.YAML_BYTES:
        if data[:1000].lstrip(_BLANK)[:1] not in (b"{", b"["):
            raise formats.too_large(name)
        data += file.read(FILE_BYTES + 1 - len(data))
    if len(data) > FILE_BYTES:
        raise BadDataError(f"{name}: larger than {FILE_BYTES >> 20} MiB")
    return data


def _read_stdin(stream: BinaryIO) -> bytes:
    try:
        return _bounded(stream, _shown(STDIN))
    except OSError as error:
        raise BadDataError(f"{_shown(STDIN)}: {_reason(error)}") from None


def _replace(path: Path, data: bytes) -> None:
    """Replace a file atomically. Raises OSError, also for anything that is no regular file."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no regular file")
    writing.replace(path, data, durable=True)


def _stamp(found: os.stat_result) -> _Stamp:
    return _Stamp(found.st_ino, found.st_size, found.st_mtime_ns)


def _shown(name: str) -> str:
    return "stdin" if name == STDIN else name


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
