"""The files that make nplconf run on a node by itself: the shipped files of systemd/, adapted to this installation.

The shipped files are complete and can be checked by systemd-analyze. They are adapted by two placeholders, and by a
drop-in if the hardening would hide the Python that nplconf runs on.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

FOLLOWER = "nplconf-firewall@.service"
REFRESH = "nplconf-refresh.service"
RELOADS = "nplconf-firewall.path"
UNITS = (
    "nplconf.service",
    "nplconf.timer",
    "nplconf-watch.service",
    "nplconf-hold.socket",
    "nplconf-hold.service",
    REFRESH,
    FOLLOWER,
    RELOADS,
)
MODES: dict[str, str] = {"timer": "nplconf.timer", "watch": "nplconf-watch.service"}
"""The unit that runs the job, by the value of --mode. One of them is enabled."""
FIREWALLS = ("firewalld", "nftables", "iptables", "ip6tables", "netfilter-persistent", "ufw")
"""Services that replace the node's rules when they start, stop or reload."""
FOLLOWERS = tuple(FOLLOWER.replace("@", f"@{name}") for name in FIREWALLS)
"""One instance for each firewall; systemd starts it together with the firewall."""
PLACEHOLDER = "/usr/bin/nplconf"
"""The command in the shipped units; the first word of each command line."""
PAGE = "file:///usr/share/doc/nplconf/README.md"
"""The documentation that the shipped units name."""
UNIT_DIRECTORY = "/etc/systemd/system"
JOB_REACH = f"{UNIT_DIRECTORY}/nplconf.service.d/10-reach.conf"
WATCH_REACH = f"{UNIT_DIRECTORY}/nplconf-watch.service.d/10-reach.conf"
HOLD_REACH = f"{UNIT_DIRECTORY}/nplconf-hold.service.d/10-reach.conf"
REACH_SAYS = "# Written by `nplconf install-units`: what would be hidden or read-only, and is needed.\n[Service]\n"
SOCKET = "/run/nplconf/hold.sock"
"""The path of the hold daemon's socket in the shipped units."""
SYSUSERS = "/etc/sysusers.d/nplconf.conf"
TMPFILES = "/etc/tmpfiles.d/nplconf.conf"
HOMES = ("/home", "/root", "/run/user")
"""The directories that ProtectHome= hides."""
PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 nothing is written to it
"""The directories that PrivateTmp= hides."""
PACKAGED = {
    UNIT_DIRECTORY: "/usr/lib/systemd/system",
    "/etc/sysusers.d": "/usr/lib/sysusers.d",
    "/etc/tmpfiles.d": "/usr/lib/tmpfiles.d",
}
"""Where a distribution package has the files that are otherwise written to /etc."""
PATHS = (*(f"{UNIT_DIRECTORY}/{unit}" for unit in UNITS), JOB_REACH, WATCH_REACH, HOLD_REACH, SYSUSERS, TMPFILES)
"""All files that may be written, and so all that uninstalling removes."""


def fitted(
    command: Sequence[str],
    needed: Sequence[str] = (),
    closed: Sequence[str] = (),
    *,
    reads: Sequence[str] = (),
    writes: Sequence[str] = (),
    socket: str = SOCKET,
    page: str = PAGE,
) -> dict[str, str]:
    """Return path -> text of every file of an installation.

    Args:
        command: How nplconf is called: an absolute path, and arguments.
        needed: The directories that this command runs from.
        closed: Parent directories of them that only root may enter.
        reads: The paths in the job's configuration.
        writes: Directories that the job writes to, beside its state directory.
        socket: The path of the hold daemon's socket.
        page: The URI of the page about the units.
    """
    called, about = _words(command), page.replace("%", "%%")
    shipped = {unit: _shipped(unit).replace(PLACEHOLDER, called).replace(PAGE, about) for unit in UNITS}
    made = {f"{UNIT_DIRECTORY}/{unit}": text for unit, text in shipped.items()}
    listens = f"{UNIT_DIRECTORY}/nplconf-hold.socket"
    made[listens] = made[listens].replace(f"ListenStream={SOCKET}", f"ListenStream={socket.replace('%', '%%')}")
    job = _job_reach(needed, reads, writes)
    reach = {JOB_REACH: job, WATCH_REACH: job, HOLD_REACH: _hold_reach(needed, closed)}
    made |= {path: f"{REACH_SAYS}{text}" for path, text in reach.items() if text}
    return made | {SYSUSERS: _shipped("sysusers.d/nplconf.conf"), TMPFILES: _shipped("tmpfiles.d/nplconf.conf")}


def beside_packaged(made: Mapping[str, str], packaged: Mapping[str, str]) -> dict[str, str]:
    """Return the files of `fitted` that differ from those of a package. packaged: path -> text below /usr/lib.

    A unit in /etc hides the packaged one, even after an upgrade of the package, so an equal copy must not be written.
    """
    return {path: text for path, text in made.items() if packaged.get(packaged_path(path)) != text}


def packaged_path(path: str) -> str:
    """Return a package's path of a file that is otherwise written to /etc; "" for a drop-in, which no package has."""
    directory, _, name = path.rpartition("/")
    return f"{PACKAGED[directory]}/{name}" if directory in PACKAGED else ""


def page() -> str:
    """Return the URI of the installed page about the units."""
    return Path(str(files("nplconf").joinpath("unit_files", "README.md"))).absolute().as_uri()


def _shipped(name: str) -> str:
    return files("nplconf").joinpath("unit_files", name).read_text("utf-8")


def _job_reach(needed: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    """Return the drop-in of the job: it is root, may read homes, has its own /tmp, and may write to few directories."""
    hidden = [path for path in needed if _within(path, PRIVATE) and not _within(path, writes)]
    hidden += [f"-{path}" for path in reads if _within(path, PRIVATE) and not _within(path, (*needed, *writes))]
    shared = [path for path in writes if _within(path, PRIVATE)]
    elsewhere = [path for path in writes if path not in shared]
    bound = f"BindPaths={_words(f'-{path}' for path in shared)}\n" if shared else ""
    written = f"ReadWritePaths={_words(f'-{path}' for path in elsewhere)}\n" if elsewhere else ""
    return _shown(hidden) + bound + written


def _hold_reach(needed: Sequence[str], closed: Sequence[str]) -> str:
    """Return the drop-in of the hold daemon: of homes and closed directories it sees only what it runs from."""
    closed = [path for path in closed if not _within(path, (*HOMES, *PRIVATE))]
    hidden = [path for path in needed if _within(path, (*HOMES, *PRIVATE, *closed))]
    home = "ProtectHome=tmpfs\n" if any(_within(path, HOMES) for path in hidden) else ""
    empty = f"TemporaryFileSystem={_words(f'{path}:ro' for path in closed)}\n" if closed else ""
    return home + empty + _shown(hidden)


def _shown(hidden: Sequence[str]) -> str:
    return f"BindReadOnlyPaths={_words(hidden)}\n" if hidden else ""


def _within(path: str, directories: Sequence[str]) -> bool:
    return any(f"{path}/".startswith(f"{directory}/") for directory in directories)


def _words(texts: Iterable[str]) -> str:
    return " ".join(map(_word, texts))


def _word(text: str) -> str:
    """Return a text as one word in a unit file: specifiers, variables and spaces have no special meaning."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped == text and not any(c.isspace() or c in "';" for c in text) else f'"{escaped}"'
