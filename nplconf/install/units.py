"""The files that make nplconf run on a node by itself: what ships in systemd/, fitted to this installation.

The shipped files stay whole and can be read by systemd-analyze; fitting is two placeholders, and a drop-in where the
hardening would hide the Python that nplconf runs on.
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
"""Services that replace the rules of the node when they start, stop or reload."""
FOLLOWERS = tuple(FOLLOWER.replace("@", f"@{name}") for name in FIREWALLS)
"""One instance for each of them; systemd starts it with the firewall."""
PLACEHOLDER = "/usr/bin/nplconf"
"""What the shipped units call; it stands in them as the first word of a command."""
PAGE = "file:///usr/share/doc/nplconf/README.md"
"""What the shipped units name as their documentation."""
UNIT_DIRECTORY = "/etc/systemd/system"
JOB_REACH = f"{UNIT_DIRECTORY}/nplconf.service.d/10-reach.conf"
WATCH_REACH = f"{UNIT_DIRECTORY}/nplconf-watch.service.d/10-reach.conf"
HOLD_REACH = f"{UNIT_DIRECTORY}/nplconf-hold.service.d/10-reach.conf"
REACH_SAYS = "# Written by `nplconf install-units`: what would be hidden or read-only, and is needed.\n[Service]\n"
SOCKET = "/run/nplconf/hold.sock"
"""Where the shipped units have the daemon answer."""
SYSUSERS = "/etc/sysusers.d/nplconf.conf"
TMPFILES = "/etc/tmpfiles.d/nplconf.conf"
HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= hides."""
PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 nothing is written there
"""What PrivateTmp= hides."""
PACKAGED = {
    UNIT_DIRECTORY: "/usr/lib/systemd/system",
    "/etc/sysusers.d": "/usr/lib/sysusers.d",
    "/etc/tmpfiles.d": "/usr/lib/tmpfiles.d",
}
"""Where a distribution package has the files that are written to /etc otherwise."""
PATHS = (*(f"{UNIT_DIRECTORY}/{unit}" for unit in UNITS), JOB_REACH, WATCH_REACH, HOLD_REACH, SYSUSERS, TMPFILES)
"""All that may be written, and so all that uninstalling removes."""


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
    """Path -> text of every file for a nplconf that is called as `command` (an absolute path, and arguments).

    needed: the directories that this command runs from. closed: directories above them that only root may enter.
    reads: what the job's configuration names. writes: directories that the job writes to, beside its state directory.
    socket: where the daemon answers. page: the URI of the page about the units.
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

    A unit in /etc hides the packaged one, also after an upgrade of the package, so a copy of it must not be written.
    """
    return {path: text for path, text in made.items() if packaged.get(packaged_path(path)) != text}


def packaged_path(path: str) -> str:
    """Return where a package has a file that is written to /etc otherwise; "" for a drop-in, which no package has."""
    directory, _, name = path.rpartition("/")
    return f"{PACKAGED[directory]}/{name}" if directory in PACKAGED else ""


def page() -> str:
    """Return the URI of the page about the units that is installed with this nplconf."""
    return Path(str(files("nplconf").joinpath("unit_files", "README.md"))).absolute().as_uri()


def _shipped(name: str) -> str:
    return files("nplconf").joinpath("unit_files", name).read_text("utf-8")


def _job_reach(needed: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    """It is root and may read homes; only its /tmp is another. What it may write is a short list."""
    hidden = [path for path in needed if _within(path, PRIVATE) and not _within(path, writes)]
    hidden += [f"-{path}" for path in reads if _within(path, PRIVATE) and not _within(path, (*needed, *writes))]
    shared = [path for path in writes if _within(path, PRIVATE)]
    elsewhere = [path for path in writes if path not in shared]
    bound = f"BindPaths={_words(f'-{path}' for path in shared)}\n" if shared else ""
    written = f"ReadWritePaths={_words(f'-{path}' for path in elsewhere)}\n" if elsewhere else ""
    return _shown(hidden) + bound + written


def _hold_reach(needed: Sequence[str], closed: Sequence[str]) -> str:
    """It sees of homes and of closed directories what it runs from, and nothing else."""
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
    """As one word in a unit file: specifiers, variables and spaces mean themselves."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped == text and not any(c.isspace() or c in "';" for c in text) else f'"{escaped}"'
