"""Facts from systemd: the installed units, and the sockets that it stores for the hold daemon."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from nplconf.doctor.facts import Facts, Unknown
from nplconf.errors import NplconfError
from nplconf.install import systemd
from nplconf.install import units as files

HOLD, SOCKET, TIMER, JOB = "nplconf-hold.service", "nplconf-hold.socket", "nplconf.timer", "nplconf.service"
WATCH = files.MODES["watch"]
INSTALL = "nplconf install-units --now"
CONFIGURED = {files.JOB_REACH, files.WATCH_REACH, f"{files.UNIT_DIRECTORY}/{SOCKET}"}
"""Files whose text depends on the configuration."""


class Unit(NamedTuple):
    """A unit as `systemctl show` prints it: "loaded", "enabled", "active" and their opposites."""

    load: str
    enabled: str
    active: str
    reload: bool


class Units(NamedTuple):
    """The installation. missing, differing: paths, compared with what this nplconf would write."""

    missing: tuple[str, ...]
    differing: tuple[str, ...]
    states: Mapping[str, Unit]

    @property
    def waits_for_a_question(self) -> bool:
        """Whether the hold daemon does not run, and a connection to its socket would start it."""
        listens, daemon = (self.states[name].active for name in (SOCKET, HOLD))
        return listens == "active" and daemon in ("inactive", "failed")

    @property
    def installed(self) -> bool:
        """Whether anything is installed."""
        return not self.missing or any(unit.load != "not-found" for unit in self.states.values())


class StoredSockets(NamedTuple):
    """The hold daemon as systemd sees it: its process (0: none), and how many entries are stored for it."""

    pid: int
    entries: int


def units(facts: Facts) -> Units | Unknown:
    """Return what is installed, beside what this nplconf would write."""
    if not systemd.runs():
        return Unknown("systemd does not run here")
    wanted = facts.sources.units()
    wrong = differing(wanted)
    missing = tuple(path for path in wrong if _text(path) is None)
    changed = tuple(path for path in wrong if path not in missing) + hiding(wanted)
    if facts.sources.lost and not facts.sources.salvaged:
        changed = tuple(path for path in changed if path not in CONFIGURED)
    try:
        return Units(missing, changed, {name: _unit(name) for name in (SOCKET, HOLD, files.MODES[systemd.mode()])})
    except NplconfError as err:
        return Unknown(str(err))


def differing(wanted: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of the files (path -> text) that are missing or have another text."""
    return tuple(path for path, text in wanted.items() if _text(path) != text)


def hiding(wanted: Collection[str]) -> tuple[str, ...]:
    """Return the files in /etc that hide those of a package and that this nplconf would not write. wanted: paths."""
    return tuple(path for path in systemd.hiding() if path not in wanted)


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _unit(name: str) -> Unit:
    found = systemd.properties(name, "LoadState", "UnitFileState", "ActiveState", "NeedDaemonReload")
    load, enabled, active = (found.get(key, "") for key in ("LoadState", "UnitFileState", "ActiveState"))
    return Unit(load, enabled, active, found.get("NeedDaemonReload") == "yes")


def store(_facts: Facts) -> StoredSockets | Unknown:
    """Return what systemd stores for the hold daemon."""
    if not systemd.runs():
        return Unknown("systemd does not run here")
    try:
        found = systemd.properties(HOLD, "MainPID", "NFileDescriptorStore")
        return StoredSockets(int(found.get("MainPID", 0)), int(found.get("NFileDescriptorStore", 0)))
    except (NplconfError, ValueError) as err:
        return Unknown(str(err))
