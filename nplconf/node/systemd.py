"""nplconf's own files and units on this machine: written, started, stopped, removed. Any of it twice is harmless.

A machine on which systemd does not run, an image that is being built, gets the files all the same.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import Failure
from nplconf.node import command
from nplconf.units import PATHS, SYSUSERS, TMPFILES, UNIT_DIRECTORY, UNITS

STARTED = ("nplconf-hold.socket", "nplconf-hold.service", "nplconf.timer")
"""What is enabled and started; the timer starts the job."""
RUNS = Path("/run/systemd/system")
"""There when systemd is this machine's PID 1."""
USER = "nplconf-hold"
SECONDS = 60.0


def is_running() -> bool:
    """Whether systemd runs this machine."""
    return RUNS.is_dir()


def write(files: Mapping[str, str], root: Path = Path("/")) -> list[str]:
    """Make the files of ours what they are to be, and remove the others of ours; the paths that changed.

    root: the machine's, or an image's. Raises PermissionDeniedError naming the path that cannot be written.
    """
    changed = []
    for path in PATHS:
        target = root / path.removeprefix("/")
        try:
            if path not in files:
                changed += [path] if _removed(target) else []
            elif not target.is_file() or target.read_text("utf-8") != files[path]:
                _replace(target, files[path])
                changed.append(path)
        except OSError as err:
            raise PermissionDeniedError(f"{path}: cannot be written: {err.strerror or err}") from err
    return changed


def _removed(target: Path) -> bool:
    there = target.exists() or target.is_symlink()
    target.unlink(missing_ok=True)
    return there


def _replace(target: Path, text: str) -> None:
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    new.write_text(text, "utf-8")
    new.chmod(0o644)
    new.replace(target)


def reload() -> None:
    """Let systemd know the files: the user is made, the directories and the lock too. Raises UnavailableError."""
    if is_running():
        _do("systemd-sysusers", SYSUSERS)
        _do("systemd-tmpfiles", "--create", TMPFILES)
        _do("systemctl", "daemon-reload")


def start() -> None:
    """Enable and start; what runs already runs the new files from now on, and keeps what it holds.

    Raises UnavailableError where systemd does not run, or a unit does not start.
    """
    if not is_running():
        raise UnavailableError("systemd does not run here: the units are written, and start where it does")
    _do("systemctl", "enable", *STARTED)
    _do("systemctl", "try-restart", "nplconf-hold.service")
    _do("systemctl", "start", *STARTED)


def stop_job() -> list[Failure]:
    """No more runs: the timer is stopped, and the run that is under way has ended."""
    return _tried("systemctl", "stop", "nplconf.timer", "nplconf.service")


def stop_hold() -> list[Failure]:
    """Let every number go."""
    return _tried("systemctl", "stop", "nplconf-hold.socket", "nplconf-hold.service")


def remove() -> list[Failure]:
    """Units, what enabled them, their drop-ins, their user and what is under /run; what could not be removed."""
    failures = _tried("systemctl", "disable", *STARTED)
    failures += [failure for path in _all_of_ours() if (failure := gone(path))]
    failures += _tried("systemctl", "daemon-reload")
    _tried("systemctl", "reset-failed", *UNITS)  # fails where none is known, as it is to be
    if command.find("userdel"):
        _tried("userdel", USER)  # fails where it is gone
    return failures


def _all_of_ours() -> list[Path]:
    dropins = [f"{UNIT_DIRECTORY}/{unit}.d" for unit in UNITS]
    return [Path(path) for path in (*PATHS, *dropins, "/run/nplconf")]


def gone(path: Path) -> Failure | None:
    """Remove a file or a directory; None when it is not there (any more)."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as err:
        return Failure("remove", str(path), err.strerror or str(err))
    return None


def _tried(program: str, *arguments: str) -> list[Failure]:
    """Do it where systemd runs; what went wrong, but for units that are not there."""
    if not is_running():
        return []
    try:
        done = command.run(program, *arguments, deadline=SECONDS)
    except UnavailableError as err:
        return [Failure("units", program, str(err))]
    absent = "not loaded" in done.errors or "does not exist" in done.errors
    return [] if done.code == 0 or absent else [Failure("units", f"{program} {arguments[0]}", done.complaint)]


def _do(program: str, *arguments: str) -> None:
    done = command.run(program, *arguments, deadline=SECONDS)
    if done.code:
        raise UnavailableError(f"{program} {' '.join(arguments)}: {done.complaint}")
