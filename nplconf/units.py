"""The files that make nplconf run on a node by itself: what ships in systemd/, fitted to this installation.

The shipped files stay whole, and can be read by systemd-analyze. Fitting is two placeholders, and a drop-in for each
service where the hardening would hide or forbid what this installation and its configuration need.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

UNITS = ("nplconf.service", "nplconf.timer", "nplconf-hold.socket", "nplconf-hold.service")
PLACEHOLDER = "/usr/bin/nplconf"
"""What the shipped units call; it stands in them as the first word of a command."""
SOCKET = "/run/nplconf/hold.sock"
"""Where the shipped socket unit listens."""
STATE = "/var/lib/nplconf"
"""What the shipped job may write."""
UNIT_DIRECTORY = "/etc/systemd/system"
JOB_DROPIN = f"{UNIT_DIRECTORY}/nplconf.service.d/10-installation.conf"
HOLD_DROPIN = f"{UNIT_DIRECTORY}/nplconf-hold.service.d/10-installation.conf"
SYSUSERS = "/etc/sysusers.d/nplconf.conf"
TMPFILES = "/etc/tmpfiles.d/nplconf.conf"
HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= hides."""
PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 nothing is written there
"""What PrivateTmp= hides."""
PATHS = (*(f"{UNIT_DIRECTORY}/{unit}" for unit in UNITS), JOB_DROPIN, HOLD_DROPIN, SYSUSERS, TMPFILES)
"""All that may be written, and so all that uninstalling removes."""


@dataclass(frozen=True, slots=True)
class Installation:
    """How and from where nplconf is called here; every path is absolute.

    command: the program, and arguments before nplconf's own. runs_from: directories that it is read from. closed:
    directories above those that only root may enter. reads, writes: directories of what the configuration names.
    config: a config file in another place than the default.
    """

    command: Sequence[str] = (PLACEHOLDER,)
    runs_from: Sequence[str] = ()
    closed: Sequence[str] = ()
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    config: str | None = None
    socket: str = SOCKET


def fitted(installation: Installation) -> dict[str, str]:
    """Path -> text of every file."""
    called = _words(installation.command)
    made = {f"{UNIT_DIRECTORY}/{unit}": _shipped(unit).replace(PLACEHOLDER, called) for unit in UNITS}
    socket_unit = f"{UNIT_DIRECTORY}/nplconf-hold.socket"
    made[socket_unit] = made[socket_unit].replace(SOCKET, installation.socket.replace("%", "%%"))
    dropins = {JOB_DROPIN: _for_job(installation), HOLD_DROPIN: _for_hold(installation)}
    made |= {path: _dropin(lines) for path, lines in dropins.items() if any(lines)}
    return made | {SYSUSERS: _shipped("sysusers.d/nplconf.conf"), TMPFILES: _shipped("tmpfiles.d/nplconf.conf")}


def _shipped(name: str) -> str:
    return files("nplconf").joinpath("unit_files", name).read_text("utf-8")


def _for_job(here: Installation) -> list[str]:
    """It is root and may read homes; its /tmp is another, and it writes to its state directory alone."""
    writes = [path for path in here.writes if not _within(path, [STATE])]
    reads = [path for path in (*here.runs_from, *here.reads) if not _within(path, writes)]
    return [
        _setting("Environment", [f"NPLCONF_CONFIG={here.config}"] if here.config else []),
        _setting("BindReadOnlyPaths", (path for path in reads if _within(path, PRIVATE))),
        _setting("BindPaths", (f"-{path}" for path in writes if _within(path, PRIVATE))),
        _setting("ReadWritePaths", (f"-{path}" for path in writes if not _within(path, PRIVATE))),
    ]


def _for_hold(here: Installation) -> list[str]:
    """It sees of homes and of closed directories what it runs from, and nothing else."""
    closed = [path for path in here.closed if not _within(path, (*HOMES, *PRIVATE))]
    needed = [*here.runs_from, *([here.config] if here.config else [])]
    hidden = [path for path in needed if _within(path, (*HOMES, *PRIVATE, *closed))]
    return [
        _setting("Environment", [f"NPLCONF_CONFIG={here.config}"] if here.config else []),
        _setting("ProtectHome", ["tmpfs"] if any(_within(path, HOMES) for path in hidden) else []),
        _setting("TemporaryFileSystem", (f"{path}:ro" for path in closed)),
        _setting("BindReadOnlyPaths", hidden),
    ]


def _dropin(lines: Iterable[str]) -> str:
    return "\n".join(
        ["# Written by `nplconf install-units` for this installation.", "[Service]", *filter(None, lines), ""]
    )


def _setting(name: str, values: Iterable[str]) -> str:
    """A line of a unit, "" without values; a value is there once."""
    words = _words(dict.fromkeys(values))
    return f"{name}={words}" if words else ""


def _within(path: str, directories: Sequence[str]) -> bool:
    return any(f"{path}/".startswith(f"{directory}/") for directory in directories)


def _words(texts: Iterable[str]) -> str:
    return " ".join(map(_word, texts))


def _word(text: str) -> str:
    """As one word in a unit file: specifiers, variables and spaces mean themselves."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped == text and not any(c.isspace() or c in "';" for c in text) else f'"{escaped}"'
