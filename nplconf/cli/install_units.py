"""`nplconf install-units`: the units on this machine, calling the nplconf that is called now."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import nplconf
from nplconf.cli import say
from nplconf.config import DEFAULT_FILE
from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.node import state, systemd
from nplconf.settings import Settings
from nplconf.units import Installation, fitted


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this command takes."""
    parser.add_argument("--now", action="store_true", help="enable and start them, too")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write what differs; a line for each file."""
    if os.geteuid() != 0:
        raise PermissionDeniedError("install-units writes to /etc/systemd/system: run it as root")
    state.make_directory(settings.state_dir)
    changed = systemd.write(fitted(installation(settings)))
    for path in changed:
        print(f"wrote {path}" if os.path.lexists(path) else f"removed {path}")
    systemd.reload()
    if arguments.now:
        systemd.start()
    elif systemd.is_running():
        say.warning("nothing was started: nplconf install-units --now does")
    return 0


def installation(settings: Settings) -> Installation:
    """Of this very process, and of its configuration."""
    runs_from = _runs_from()
    return Installation(
        command=called_as(sys.argv[0]),
        runs_from=runs_from,
        closed=closed_above(runs_from),
        reads=_directories((*settings.cluster_state, settings.kubeconfig, settings.policy, settings.config)),
        writes=[*_directories((settings.write_back, settings.textfile)), absolute(settings.state_dir)],
        config=absolute(settings.config) if settings.config != DEFAULT_FILE else None,
        socket=absolute(settings.hold_socket),
    )


def called_as(program: str) -> tuple[str, ...]:
    """The command that calls this nplconf: an executable by its absolute path (links are kept), else this Python."""
    for candidate in (shutil.which(program), shutil.which(Path(sys.executable).with_name("nplconf"))):
        if candidate and Path(candidate).name != "__main__.py":
            return (absolute(candidate),)
    if "site-packages" in Path(nplconf.__file__).parts:
        return (sys.executable, "-m", "nplconf")
    raise UnavailableError("nplconf is not installed but run from its source: pip install it, and call that one")


def _runs_from() -> list[str]:
    """The directories of Python, of its environment, of the package and of the program: none within another."""
    program = Path(shutil.which(sys.argv[0]) or sys.executable)
    package = Path(nplconf.__file__).parents[1]
    wanted = {str(p) for p in (program.parent.absolute(), package, Path(sys.prefix), Path(sys.base_prefix))}
    wanted |= {os.path.realpath(path) for path in wanted}
    return sorted(one for one in wanted if not any(one.startswith(f"{other}/") for other in wanted))


def closed_above(paths: Iterable[str]) -> list[str]:
    """The outermost directory above each path that only its owner may enter, where there is one."""
    found = set()
    for path in paths:
        above = [*reversed(Path(path).parents), Path(path)]
        found |= {str(one) for one in [next((a for a in above if not a.stat().st_mode & 0o001), None)] if one}
    return sorted(found)


def absolute(path: str) -> str:
    """From the root, with its links as they are."""
    return str(Path(path).absolute())


def _directories(named: Iterable[str | None]) -> list[str]:
    """The directories of files that the configuration names."""
    return sorted({str(Path(path).absolute().parent) for path in named if path and path != "-"})
