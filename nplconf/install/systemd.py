"""systemd: calls of systemctl, and the files in its directories.

Everything works on a node without a running systemd too (an image that is built): files are written, and systemctl is
not called.
"""

import contextlib
import grp
import os
import pwd
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.files import writing
from nplconf.install import units
from nplconf.interpreter import PYTHON
from nplconf.node import command

DEADLINE = 60.0
"""Seconds for one systemctl. A start waits for the daemon to hold its range, a stop for a run to end."""
RUNS = Path("/run/systemd/system")
USER = "nplconf-hold"
"""The user that sysusers.d/nplconf.conf creates."""
DROP_IN_ROOTS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
)
"""The directories in which `systemctl edit` and `systemctl set-property` write."""


def runs() -> bool:
    """Return whether systemd is PID 1 of this machine."""
    return RUNS.is_dir()


def call(program: str, *words: str) -> None:
    """Run systemctl or a related program. Raises UnavailableError with its error message."""
    done = command.run(program, *words, deadline=DEADLINE)
    if done.code:
        raise UnavailableError(f"{program} {' '.join(words)}: {done.complaint}")


def properties(unit: str, *names: str) -> dict[str, str]:
    """Return some properties of a unit from `systemctl show`. Raises UnavailableError."""
    done = command.run("systemctl", "show", unit, f"--property={','.join(names)}", deadline=DEADLINE)
    if done.code:
        raise UnavailableError(f"systemctl show {unit}: {done.complaint}")
    return dict(line.split("=", 1) for line in done.text.splitlines() if "=" in line)


def interval(timer: str) -> str:
    """Return how long after a run a timer starts the next one, such as "10s"; "" without OnUnitInactiveSec=."""
    done = command.run("systemctl", "show", timer, "--property=TimersMonotonic", deadline=DEADLINE)
    found = re.search(r"OnUnitInactiveUSec=(.+?) *;", done.text)
    return found[1] if found else ""


def is_known(unit: str) -> bool:
    """Return whether systemd has a file for the unit, or the unit although the file is gone."""
    return properties(unit, "LoadState").get("LoadState") != "not-found"


def mode() -> str:
    """Return the enabled mode of `units.MODES`; "timer" if none is enabled or systemd does not run."""
    enabled = (name for name, unit in units.MODES.items() if runs() and _is_enabled(unit))
    return next(enabled, "timer")


def _is_enabled(unit: str) -> bool:
    return properties(unit, "UnitFileState").get("UnitFileState") == "enabled"


def active(names: Iterable[str]) -> list[str]:
    """Return the units that are active. Raises UnavailableError."""
    return [name for name in names if properties(name, "ActiveState").get("ActiveState") == "active"]


def remove_user() -> None:
    """Remove the hold daemon's user and its group. Raises UnavailableError."""
    if USER in {entry.pw_name for entry in pwd.getpwall()}:
        call("userdel", USER)
    if USER in {entry.gr_name for entry in grp.getgrall()}:
        call("groupdel", USER)


# --- the files -------------------------------------------------------------------------------------------------------


def write(files: Mapping[str, str], root: Path = Path("/")) -> tuple[str, ...]:
    """Write every file that differs, and remove other files of an earlier installation. Return what changed.

    Raises:
        PermissionDeniedError: A file cannot be written.
    """
    changed = []
    with _denied():
        for path, text in files.items():
            if _put(_at(root, path), text):
                changed.append(path)
        changed += [path for path in units.PATHS if path not in files and _drop(_at(root, path))]
    return tuple(changed)


def packaged(root: Path = Path("/")) -> dict[str, str]:
    """Return path -> text of the files that a distribution package installed; empty without a package."""
    paths = filter(None, map(units.packaged_path, units.PATHS))
    return {path: _at(root, path).read_text("utf-8") for path in paths if _at(root, path).is_file()}


def hiding(root: Path = Path("/")) -> tuple[str, ...]:
    """Return the files in /etc that hide a file of a package."""
    there = (path for path in units.PATHS if units.packaged_path(path) in packaged(root))
    return tuple(path for path in there if _at(root, path).exists())


def remove(root: Path = Path("/")) -> tuple[str, ...]:
    """Remove every file of nplconf, the links that enable its units, and all drop-ins. Return what existed.

    Raises:
        PermissionDeniedError: A file cannot be removed.
    """
    removed: list[str] = []
    with _denied():
        removed += [path for path in (*units.PATHS, *_wanted_by(root)) if _drop(_at(root, path))]
        for directory in (_at(root, f"{place}/{unit}.d") for place in DROP_IN_ROOTS for unit in units.UNITS):
            if directory.is_dir():
                shutil.rmtree(directory)
                removed.append(str(directory))
    return tuple(removed)


def _wanted_by(root: Path) -> Iterator[str]:
    """Yield the links that enable the units, and the directories that contain nothing else."""
    for directory in sorted(_at(root, units.UNIT_DIRECTORY).glob("*.wants")):
        known = (directory / unit for unit in (*units.UNITS, *units.FOLLOWERS))
        links = [link for link in known if link.is_symlink()]
        yield from (f"/{link.relative_to(root)}" for link in links)


def _put(path: Path, text: str) -> bool:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if not path.is_symlink() and path.read_text("utf-8") == text and stat.S_IMODE(path.stat().st_mode) == 0o644:
            return False
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    writing.put(path, text.encode(), 0o644)
    return True


def _drop(path: Path) -> bool:
    """Remove a file, and its directory if it is a drop-in directory of nplconf and now empty."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    if path.parent.suffix in (".d", ".wants") and path.parent.parent.name == "system":
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    return True


def _at(root: Path, path: str) -> Path:
    return root / path.removeprefix("/")


@contextlib.contextmanager
def _denied() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise PermissionDeniedError(f"{err.filename}: {err.strerror}") from err


# --- who we are ------------------------------------------------------------------------------------------------------


def called_as(program: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return a command that runs this nplconf from any directory. program: sys.argv[0].

    For `python -m nplconf` sys.argv[0] is the path of a module, which needs its interpreter and search path.
    """
    if not program.endswith("__main__.py"):
        found = Path(program if os.sep in program else shutil.which(program) or program)
        # systemd accepts no ".." in a path; a link to the current version stays a link
        straight = Path(os.path.normpath(found.absolute()))
        return (str(straight if straight.exists() else found.resolve()),)
    search = environ.get("PYTHONPATH")
    before = ("/usr/bin/env", f"PYTHONPATH={search}") if search else ()
    return (*before, *PYTHON, "-m", "nplconf")


def names(program: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the commands that run the same nplconf: this one, its link target, and links to it in usual places."""
    if len(program) > 1:
        return (program,)
    real = Path(program[0]).resolve()
    links = [Path(place, real.name) for place in command.PATH]
    same = [str(link) for link in links if link.is_symlink() and link.resolve() == real]
    return tuple((name,) for name in dict.fromkeys((*program, str(real), *same)))


def runs_from(program: Sequence[str]) -> tuple[str, ...]:
    """Return the directories that a command of nplconf is read from: its own, its interpreter's, the package's."""
    words = [word for part in program for word in part.removeprefix("PYTHONPATH=").split(os.pathsep)]
    named = [Path(word) for word in words if word.startswith(os.sep)]
    places = {path if path.is_dir() else path.parent for word in named for path in (word, word.resolve())}
    places |= {Path(sys.prefix), Path(sys.base_prefix).resolve(), Path(__file__).resolve().parents[2]}
    outermost = [path for path in places if not any(other in path.parents for other in places)]
    return tuple(sorted(map(str, outermost)))


def closed(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the parent directories of these that only root may enter."""
    above = {parent for path in paths for parent in Path(path).parents}
    return tuple(sorted(str(path) for path in above if not path.stat().st_mode & stat.S_IXOTH))


def unreadable(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the directories of these that only root may read."""
    others = stat.S_IROTH | stat.S_IXOTH
    return tuple(path for path in paths if Path(path).stat().st_mode & others != others)
