"""`nplconf install-units [--now]`: write the systemd units that run nplconf on this node."""

import argparse
import os
import sys
from pathlib import Path

from nplconf.cli import messages
from nplconf.cli.commands.hold import refuse_beside_agent
from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.install import systemd, units
from nplconf.node import state
from nplconf.output import structured, table
from nplconf.settings import CONFIG, DEFAULT_STATE, Settings

AT_BOOT = ("nplconf-hold.socket", "nplconf-hold.service", units.RELOADS)
"""The units that are enabled and started in either mode."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("--now", action="store_true", help="enable the units, and start them")
    parser.add_argument(
        "--mode",
        choices=tuple(units.MODES),
        help="what runs the job: a timer every few seconds, or the service nplconf watch."
        " Default: the mode that is enabled, else timer.",
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the units. A second run changes nothing. Raises PermissionDeniedError, UnavailableError."""
    if os.geteuid():
        raise PermissionDeniedError(f"install-units writes to {units.UNIT_DIRECTORY}: run it as root")
    if arguments.now and not systemd.runs():
        raise UnavailableError("systemd does not run here: without --now the units are written for the next boot")
    if arguments.now and not settings.force:
        refuse_beside_agent()  # the daemon's unit cannot see other processes
    if settings.config != CONFIG:
        messages.warning(f"the units read {CONFIG}, not {settings.config}")
    for path in systemd.unreadable(systemd.runs_from(called())):
        messages.warning(f"{path}: only root may read it, and the hold daemon is not root: chmod -R go+rX {path}")
    before = frozenset(path for path in units.PATHS if Path(path).exists())
    changed = systemd.write(wanted(settings, called()))
    if settings.state_dir != DEFAULT_STATE:
        state.make_directory(settings.state_dir)  # the job cannot: its file system is read-only
    if systemd.runs():
        _make_known()
    mode = arguments.mode or systemd.mode()
    if arguments.now:
        _start(settings.hold_socket, mode)
    _report(changed, before, settings, mode, started=arguments.now)
    return 0


def called() -> tuple[str, ...]:
    """Return the command that runs this nplconf again."""
    return systemd.called_as(sys.argv[0], os.environ)


def wanted(settings: Settings, command: tuple[str, ...]) -> dict[str, str]:
    """Return path -> text of every file of an installation of this nplconf with these settings."""
    packaged = systemd.packaged()
    page = units.PAGE if packaged and command == (units.PLACEHOLDER,) else units.page()
    needed = systemd.runs_from(command)
    files = [settings.textfile, settings.write_back]
    written = {str(Path(file).absolute().parent) for file in files if file} | {str(Path(settings.state_dir).absolute())}
    made = units.fitted(
        command,
        needed,
        systemd.closed(needed),
        reads=sorted(_read(settings)),
        writes=sorted(written - {DEFAULT_STATE}),
        socket=settings.hold_socket,
        page=page,
    )
    return units.beside_packaged(made, packaged)


def _read(settings: Settings) -> set[str]:
    """Return the paths that the configuration names.

    For a file this is its directory, as a kubeconfig names other files; in /tmp it is the file.
    """
    files = [*settings.cluster_state, settings.kubeconfig, settings.policy]
    paths = [Path(file).absolute() for file in files if file]
    beside = {path if str(path.parent) in units.PRIVATE else path.parent for path in paths}
    return {str(path) for path in beside} | ({str(Path(settings.plan_dir).absolute())} if settings.plan_dir else set())


def _make_known() -> None:
    """Create the user and the directories. Called by name, since a package has these files in /usr/lib."""
    systemd.call("systemd-sysusers", Path(units.SYSUSERS).name)
    systemd.call("systemd-tmpfiles", "--create", Path(units.TMPFILES).name)
    systemd.call("systemctl", "daemon-reload")


def _start(hold_socket: str, mode: str) -> None:
    """Enable the units, and start the installed version. A running daemon passes its sockets to its successor.

    The unit of the other mode is disabled, and the start of this mode's unit stops it. Rules stay meanwhile.
    """
    job = units.MODES[mode]
    systemd.call("systemctl", "disable", *(unit for unit in units.MODES.values() if unit != job))
    systemd.call("systemctl", "enable", job, *AT_BOOT, *units.FOLLOWERS)
    # after daemon-reload, a socket unit with another path listens nowhere; its restart also restarts the daemon
    systemd.call("systemctl", "start" if Path(hold_socket).is_socket() else "restart", "nplconf-hold.socket")
    systemd.call("systemctl", "restart", "nplconf-hold.service")
    firewalls = systemd.active(f"{name}.service" for name in units.FIREWALLS)
    followers = (units.FOLLOWER.replace("@.service", f"@{name}") for name in firewalls)
    systemd.call("systemctl", "start", units.RELOADS, *followers)
    systemd.call("systemctl", "start" if mode == "timer" else "restart", job)


def _report(changed: tuple[str, ...], before: frozenset[str], settings: Settings, mode: str, *, started: bool) -> None:
    if settings.output != "table":
        found = {"node": settings.node, "mode": mode, "changed": list(changed), "started": started}
        print(structured.text(found, settings.output), end="")
        return
    done = f"{table.counted(len(changed), 'file')} written" if changed else "Units are up to date"
    command = "nplconf install-units --now" + (" --mode watch" if mode == "watch" else "")
    then = _running(mode) if started else f"start them with: {command}"
    lines = [_line(path, new=path not in before) for path in changed]
    table.write([*lines, ("sum", f"{done}; {then}")], settings)


def _line(path: str, *, new: bool) -> table.Line:
    """Return the line for a file: added, changed or removed."""
    action = "add" if new else "change" if Path(path).exists() else "delete"
    return action, f"{table.MARKS[action]} {path}"


def _running(mode: str) -> str:
    period = systemd.interval(units.MODES[mode]) if mode == "timer" else ""
    often = f" (a run starts {period} after the last one)" if period else ""
    return f"{units.MODES[mode]} is enabled and running{often}"
