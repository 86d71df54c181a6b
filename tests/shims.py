"""Fake iptables programs, in the mount namespace of a test's child processes, that record their calls.

A shim has the path of the real program, since nplconf uses only fixed paths. It runs the real program at its end unless
the test makes it fail. Children that Python itself starts are recorded too, so that none is overlooked.
"""

import ctypes.util
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PROGRAMS = tuple(
    f"{program}-{backend}-{what}"
    for program in ("iptables", "ip6tables")
    for backend in ("nft", "legacy")
    for what in ("restore", "save")
)
LIBRARIES = [Path("/usr", where) for where in ("lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib64", "lib")]
WRITES_RULES = 'grep -qE "^(:|-[AID] )NPLCONF" "$call"'
"""In a shim of iptables-restore: whether this call writes rules of nplconf."""
_SHIM = """#!/bin/bash
case $0 in *-nft-* | *-legacy-*) name=${{0##*/}} ;; *) name=$(basename "$(readlink -f "$0")") ;; esac
call={calls}/$EPOCHREALTIME-$$
cat >"$call"
printf '%s\\n' "$name $*" >"$call.argv"
real() {{
    if [ "$name" = nft ]; then
        LD_LIBRARY_PATH={library} {library}/nft "$@"
        return
    fi
    case $name in *-nft-*) multi=nft ;; *) multi=legacy ;; esac
    (exec -a "$name" /usr/sbin/xtables-$multi-multi "$@")
}}
{behaviour}
real "$@" <"$call"
"""
_AUDIT = """
import os, sys
def hook(event, args):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.system"):
        argv = args[1] if event == "subprocess.Popen" else [event]
        with os.fdopen(os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as log:
            log.write(" ".join(map(str, argv)) + "\\n")
sys.addaudithook(hook)
"""


class Call(NamedTuple):
    """One call of a program. line: its name and arguments. text: its whole stdin."""

    line: str
    text: str

    @property
    def reads(self) -> bool:
        """It only asks: a save, or a restore of nothing but `-S`."""
        commands = [line for line in self.text.splitlines() if line]
        asks = all(line in ("*nat", "*mangle", "COMMIT") or line.startswith("-S ") for line in commands)
        return asks if "restore" in self.line else "-save" in self.line


@dataclass(frozen=True, slots=True)
class Shims:
    """directory: of the shims, over /usr/sbin. calls: where they write. audit: a directory for PYTHONPATH."""

    directory: Path
    calls: Path
    audit: Path

    @classmethod
    def make(cls, base: Path, programs: Iterable[str] = PROGRAMS) -> "Shims":
        """Shims for these programs that only write down."""
        made = cls(base / "sbin", base / "calls", base / "audit")
        for directory in (made.directory, made.calls, made.audit):
            directory.mkdir(parents=True)
        (made.audit / "sitecustomize.py").write_text(_AUDIT.format(log=str(base / "children")))
        for program in programs:
            made.have(program, "")
        return made

    def have(self, program: str, behaviour: str) -> None:
        """Have a program do something else: shell, with its stdin in the file $call; `real "$@"` is the real one."""
        shim = self.directory / program
        library = self.audit.parent / "library"
        shim.write_text(_SHIM.format(calls=self.calls, behaviour=behaviour, library=library))
        shim.chmod(0o755)

    def lack_library(self) -> Path:
        """Have libnftables not be installed, except for the real nft; the file that is to be hidden."""
        found = Path(ctypes.util.find_library("nftables") or "")
        path = next(path for where in LIBRARIES if (path := where / found).exists()).resolve()
        copy = self.audit.parent / "library" / found
        copy.parent.mkdir()
        shutil.copy(path, copy)
        shutil.copy(shutil.which("nft") or "", copy.parent)
        return path

    def lack(self, program: str) -> None:
        """Have a program not be installed."""
        shim = self.directory / program
        shim.unlink(missing_ok=True)
        os.mknod(shim, 0o020600, os.makedev(0, 0))  # in an overlay: the file is not there

    def seen(self) -> tuple[Call, ...]:
        """All calls since the last look, in order."""
        found = sorted(self.calls.glob("*.argv"), key=lambda path: path.stat().st_mtime_ns)
        calls = tuple(Call(path.read_text().strip(), path.with_suffix("").read_text()) for path in found)
        for path in self.calls.iterdir():
            path.unlink()
        return calls

    def children(self) -> tuple[str, ...]:
        """The command lines of all children that Python started since the last look."""
        log = self.audit.parent / "children"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return tuple(lines)

    def forget(self) -> None:
        """What was written down up to now."""
        self.seen()
        self.children()
