"""`nplconf install-units [--now]`: writes the systemd units that run nplconf on this node."""

import argparse
import os
import sys
from pathlib import Path

from nplconf.cli import say
from nplconf.cli.commands.hold import refuse_beside_agent
from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.install import systemd, units
from nplconf.node import state
from nplconf.output import structured, table
from nplconf.settings import CONFIG, DEFAULT_STATE, Settings

AT_BOOT = ("nplconf-hold.socket", "nplconf-hold.service", "nplconf.timer", units.RELOADS)
"""What is enabled and started; the timer starts the job."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this command takes."""
    parser.add_argument("--now", action="store_true", help="enable the units, and start them")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the units; a second run changes nothing. Raises PermissionDeniedError, UnavailableError."""
    if os.geteuid():
        raise PermissionDeniedError(f"install-units writes to {units.UNIT_DIRECTORY}: run it as root")
    if arguments.now and not systemd.runs():
        raise UnavailableError("systemd does not run here: without --now the units are written for the next boot")
    if arguments.now and not settings.force:
        refuse_beside_agent()  # the daemon's unit may not see other processes
    if settings.config != CONFIG:
        say.warning(f"the units read {CONFIG}, not {settings.config}")
    for path in systemd.unreadable(systemd.runs_from(called())):
        say.warning(f"{path}: only root may read it, and the hold daemon is not root: chmod -R go+rX {path}")
    before = frozenset(path for path in units.PATHS if Path(path).exists())
    changed = systemd.write(wanted(settings, called()))
    if settings.state_dir != DEFAULT_STATE:
        state.make_directory(settings.state_dir)  # the job could not, in a file system that is read-only for it
    if systemd.runs():
        _make_known()
    if arguments.now:
        _start(settings.hold_socket)
    _report(changed, before, settings, started=arguments.now)
    return 0


def called() -> tuple[str, ...]:
    """The command that calls this nplconf again."""
    return systemd.called_as(sys.argv[0], os.environ)


def wanted(settings: Settings, command: tuple[str, ...]) -> dict[str, str]:
    """Every file of an installation of this nplconf, called as `command`, with these settings."""
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
    """What the configuration names: the directory of a file, as a kubeconfig names others; in /tmp the file alone."""
    files = [*settings.cluster_state, settings.kubeconfig, settings.policy]
    paths = [Path(file).absolute() for file in files if file]
    beside = {path if str(path.parent) in units.PRIVATE else path.parent for path in paths}
    return {str(path) for path in beside} | ({str(Path(settings.plan_dir).absolute())} if settings.plan_dir else set())


def _make_known() -> None:
    """Make user and directories; by name, as a package has these files in /usr/lib."""
    systemd.tell("systemd-sysusers", Path(units.SYSUSERS).name)
    systemd.tell("systemd-tmpfiles", "--create", Path(units.TMPFILES).name)
    systemd.tell("systemctl", "daemon-reload")


def _start(hold_socket: str) -> None:
    """Enabled, and running what is installed now: a daemon that runs gives its sockets to its successor."""
    systemd.tell("systemctl", "enable", *AT_BOOT, *units.FOLLOWERS)
    # one that listened elsewhere listens nowhere since systemd was told; with it the daemon is restarted, not stopped
    systemd.tell("systemctl", "start" if Path(hold_socket).is_socket() else "restart", "nplconf-hold.socket")
    systemd.tell("systemctl", "restart", "nplconf-hold.service")
    firewalls = systemd.active(f"{name}.service" for name in units.FIREWALLS)
    followers = (units.FOLLOWER.replace("@.service", f"@{name}") for name in firewalls)
    systemd.tell("systemctl", "start", "nplconf.timer", units.RELOADS, *followers)


def _report(changed: tuple[str, ...], before: frozenset[str], settings: Settings, *, started: bool) -> None:
    if settings.output != "table":
        print(
            structured.text({"node": settings.node, "changed": list(changed), "started": started}, settings.output),
            end="",
        )
        return
    done = f"{table.counted(len(changed), 'file')} written" if changed else "Units are up to date"
    then = _running() if started else "start them with: nplconf install-units --now"
    lines = [_line(path, new=path not in before) for path in changed]
    table.write([*lines, ("sum", f"{done}; {then}")], settings)


def _line(path: str, *, new: bool) -> table.Line:
    """Return the line for a file: added, changed or removed."""
    action = "add" if new else "change" if Path(path).exists() else "delete"
    return action, f"{table.MARKS[action]} {path}"


def _running() -> str:
    period = systemd.rhythm("nplconf.timer")
    often = f" (a run starts {period} after the last one)" if period else ""
    return f"nplconf.timer is enabled and running{often}"
