"""The files that make nplconf run on a node by itself: what ships in systemd/, fitted to this installation.

The shipped files stay whole and can be read by systemd-analyze; fitting is one placeholder, and a drop-in where the
daemon, which is not root, could not even reach the Python it runs on.
"""

from collections.abc import Sequence
from importlib.resources import files

UNITS = ("nplconf.service", "nplconf.timer", "nplconf-hold.socket", "nplconf-hold.service")
PLACEHOLDER = "/usr/bin/nplconf"
"""What the shipped units call; it stands in them as the first word of a command."""
UNIT_DIRECTORY = "/etc/systemd/system"
REACH = f"{UNIT_DIRECTORY}/nplconf-hold.service.d/10-reach.conf"
SYSUSERS = "/etc/sysusers.d/nplconf.conf"
TMPFILES = "/etc/tmpfiles.d/nplconf.conf"
HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= hides."""
PATHS = (*(f"{UNIT_DIRECTORY}/{unit}" for unit in UNITS), REACH, SYSUSERS, TMPFILES)
"""All that may be written, and so all that uninstalling removes."""


def fitted(command: Sequence[str], needed: Sequence[str] = (), closed: Sequence[str] = ()) -> dict[str, str]:
    """Path -> text of every file for a nplconf that is called as `command` (an absolute path, and arguments).

    needed: the directories that this command runs from. closed: directories above them that only root may enter.
    """
    called = " ".join(map(_word, command))
    made = {f"{UNIT_DIRECTORY}/{unit}": _shipped(unit).replace(PLACEHOLDER, called) for unit in UNITS}
    if reach := _reach(needed, [path for path in closed if not _within(path, HOMES)]):
        made[REACH] = reach
    return made | {SYSUSERS: _shipped("sysusers.d/nplconf.conf"), TMPFILES: _shipped("tmpfiles.d/nplconf.conf")}


def _shipped(name: str) -> str:
    return files("nplconf").joinpath("unit_files", name).read_text("utf-8")


def _reach(needed: Sequence[str], closed: Sequence[str]) -> str:
    """The drop-in that lets the daemon see what it runs from in home and closed directories, and nothing else of them."""
    hidden = [path for path in needed if _within(path, (*HOMES, *closed))]
    if not hidden:
        return ""
    lines = ["# Written by `nplconf install-units`: nplconf runs from where only root, or nobody, may look.", "[Service]"]
    if any(_within(path, HOMES) for path in hidden):
        lines.append("ProtectHome=tmpfs")
    if closed:
        lines.append(f"TemporaryFileSystem={' '.join(_word(f'{path}:ro') for path in closed)}")
    return "\n".join([*lines, f"BindReadOnlyPaths={' '.join(map(_word, hidden))}", ""])


def _within(path: str, directories: Sequence[str]) -> bool:
    return any(f"{path}/".startswith(f"{directory}/") for directory in directories)


def _word(text: str) -> str:
    """As one word in a unit file: specifiers, variables and spaces mean themselves."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped == text and not any(c.isspace() or c in "';" for c in text) else f'"{escaped}"'
