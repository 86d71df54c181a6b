"""The program that `preloaded.py` starts: it imports nplconf once and forks for each command.

Its arguments are the descriptors of a socket and of the network namespace in which it waits. A request is one message:
JSON with the descriptors of stdin, stdout, stderr, a socket for the answer and a network namespace. The answer is the
pid, then the exit code, a line each.

A child is what `python -m nplconf` is after its imports. It has its own arguments, environment, directory, streams and
namespaces, and no other descriptor. It has no state of an earlier command, because this process runs none.
"""

import atexit
import contextlib
import ctypes
import importlib
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import nplconf

LIBRARIES = ("encodings.ascii", "encodings.utf_8_sig", "jsonschema.validators", "netaddr", "yaml")
"""Imported late by nplconf, and by most commands of the tests."""
_MESSAGE = 1 << 18
_CLONE_NEWNS, _CLONE_NEWNET = 0x20000, 0x40000000
_MS_BIND, _MS_REC, _MS_SLAVE, _MNT_DETACH = 4096, 16384, 1 << 19, 2
_libc = ctypes.CDLL(None, use_errno=True)


class Request(NamedTuple):
    """A command to run.

    Attributes:
        mounts: Source, target, type and options of each mount in a mount namespace. None: no such namespace.
        path: The directories of PYTHONPATH.
    """

    argv: list[str]
    environment: dict[str, str]
    directory: str
    path: list[str]
    mounts: list[tuple[str, str, str, str]] | None


def main(descriptor: int, home: int) -> None:
    """Serve requests until the other end of the socket is closed."""
    _enter(home)
    requests = socket.socket(fileno=descriptor)
    import_everything()
    own = os.environ.get("PYTHONPATH", "").split(":")
    library = [entry for entry in sys.path[1:] if entry not in own]
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data:
                    selector.unregister(key.fd)
                    _report(key.fd, *key.data)
                    continue
                message, descriptors, _, _ = socket.recv_fds(requests, _MESSAGE, 5)
                if not message:
                    return
                pid = os.fork()
                if not pid:
                    _run(Request(**json.loads(message)), descriptors, library)
                answer = descriptors.pop(3)
                os.write(answer, b"%d\n" % pid)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, answer))
                for number in descriptors:
                    os.close(number)


def import_everything() -> None:
    """Import each module of nplconf but the demo's, and the libraries."""
    for module in pkgutil.walk_packages(nplconf.__path__, "nplconf."):
        if not module.name.endswith("__main__") and ".demo." not in module.name:
            importlib.import_module(module.name)
    for name in LIBRARIES:
        importlib.import_module(name)


def _report(handle: int, pid: int, answer: int) -> None:
    """Send the exit code of a process that has ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):  # nobody waits any more
        os.write(answer, b"%d\n" % code)
    os.close(answer)
    os.close(handle)


def _run(request: Request, descriptors: Sequence[int], library: list[str]) -> NoReturn:
    """Be the command, in the forked child."""
    code = 1
    try:
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        _enter(descriptors[4])
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if request.mounts is not None:
            _mount(request.mounts)
        os.chdir(request.directory)
        _become(request, library)
        code = _result()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001 printed as Python does
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(_ended(code))


def _mount(mounts: Sequence[tuple[str, str, str, str]]) -> None:
    """Have a mount namespace with the network namespace's /sys, as by `ip netns exec`, and these mounts."""
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(b"", b"/", b"none", _MS_SLAVE | _MS_REC, None))
    _check(_libc.umount2(b"/sys", _MNT_DETACH))
    _check(_libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None))
    for source, target, kind, options in mounts:
        flags = 0 if kind else _MS_BIND
        _check(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()))


def _enter(space: int) -> None:
    """Enter a network namespace, which needs root only if it is another one."""
    if os.fstat(space).st_ino != Path("/proc/self/ns/net").stat().st_ino:
        _check(_libc.setns(space, _CLONE_NEWNET))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _become(request: Request, library: list[str]) -> None:
    """Set what Python sets at its start."""
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = ["-m", *request.argv]
    sys.orig_argv = [sys.executable, "-m", "nplconf", *request.argv]
    sys.path[:] = [str(Path.cwd()), *request.path, *library]
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = _stream(number, name, mode, getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if any(Path(entry, "sitecustomize.py").exists() for entry in request.path):
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")


def _stream(number: int, name: str, mode: str, old: io.TextIOWrapper) -> io.TextIOWrapper:
    """Open a standard stream as Python does at its start."""
    raw, unbuffered = io.FileIO(number, mode, closefd=False), old.write_through
    raw.name = f"<{name}>"
    binary: Any = raw
    if mode == "r":
        binary = io.BufferedReader(raw)
    elif not unbuffered:
        binary = io.BufferedWriter(raw)
    stream = io.TextIOWrapper(
        binary,
        old.encoding,
        old.errors,
        newline="\n",
        line_buffering=not unbuffered and (name == "stderr" or raw.isatty()),
        write_through=unbuffered,
    )
    stream.mode = mode  # type: ignore[misc]
    return stream


def _result() -> int:
    """Run nplconf's entry point, or the program that the first argument names; its exit code."""
    try:
        if sys.argv[1:] and sys.argv[1].endswith(".py"):
            del sys.argv[0]
            sys.path.insert(0, str(Path(sys.argv[0]).parent))  # as Python does
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            runpy._run_module_as_main("nplconf")  # type: ignore[attr-defined] # what `python -m` calls
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _ended(code: int) -> int:
    """Do what Python does at its end: threads, exit functions, streams; the exit code that follows."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        if sys.stdout and not sys.stdout.closed:
            sys.stdout.flush()
    except OSError:
        code = 120
    if sys.stderr and not sys.stderr.closed:
        sys.stderr.flush()
    return code


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
