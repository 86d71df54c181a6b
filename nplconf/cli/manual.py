"""The man pages: nplconf(1), and one page per command, from the tables of commands and options."""

from collections.abc import Iterator

from nplconf import __version__
from nplconf.cli import main
from nplconf.cli.pages import Page, Parameter, pages

EXIT_CODES = {
    0: "Done, or nothing to do.",
    1: "An unexpected error. --verbose shows where.",
    2: "Changes are pending (--detailed-exitcode), or verify found a difference.",
    3: "The reviewed plan is stale.",
    4: "A limit blocks removals, or the cluster state is of another cluster.",
    5: "Degraded: some mappings or patches failed and are named; doctor found a fault.",
    64: "Wrong usage.",
    65: "A plan, policy or cluster state file is invalid, missing or unreadable.",
    69: "The API server, the hold daemon or iptables is unavailable, and nothing could be done.",
    75: "Another run has the lock. Try again.",
    77: "No permission, also 401 and 403 of the API server.",
    78: "Wrong configuration, or no credentials.",
}
FILES = {
    "/etc/nplconf/config.yaml": "The config file. nplconf example config prints one with every key.",
    "/var/lib/nplconf/state.json": "The state file: the last plan and the released ports.",
    "/run/nplconf/hold.sock": "The socket of the hold daemon.",
}


def files() -> dict[str, str]:
    """Return file name -> text of every page."""
    own = {f"nplconf-{page.name}.1": _text(_command(page)) for page in pages()}
    return {"nplconf.1": _text(_overview()), **own}


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _head(title: str, name: str, about: str) -> Iterator[str]:
    yield f'.TH "{title}" "1" "" "nplconf {__version__}" "User Commands"'
    yield from (".SH NAME", f"{_plain(name)} \\- {_plain(about)}")


def _overview() -> Iterator[str]:
    yield from _head("NPLCONF", "nplconf", "NodePortLocal for any Kubernetes node")
    yield from (".SH SYNOPSIS", ".B nplconf", "COMMAND [OPTION...]", ".br", ".B nplconf", "\\-\\-version")
    yield ".SH DESCRIPTION"
    yield "nplconf gives the Pods of annotated Services a port of their node and writes it to an annotation of the Pod."
    yield "External load balancers read the annotation and send traffic to the Pod directly."
    for purpose, names in main.PURPOSES.items():
        yield f'.SH "{purpose.upper()}"'
        for name in names:
            yield from (".TP", f"\\fB{_plain(name)}\\fR", _plain(f"{main.COMMANDS[name].about}."))
    yield ".SH OPTIONS"
    yield "Options follow the command; nplconf help COMMAND lists them. Precedence, highest first: flag, environment"
    yield "variable (\\-\\-state\\-dir: NPLCONF_STATE_DIR), config file (stateDir), default."
    yield ".SH EXIT STATUS"
    for code, about in EXIT_CODES.items():
        yield from (".TP", f"\\fB{code}\\fR", _plain(about))
    yield ".SH FILES"
    for path, about in FILES.items():
        yield from (".TP", f"\\fI{_plain(path)}\\fR", _plain(about))
    yield ".SH SEE ALSO"
    yield ",\n".join(f"\\fBnplconf\\-{_plain(name)}\\fR(1)" for name in sorted(main.COMMANDS))


def _command(page: Page) -> Iterator[str]:
    yield from _head(f"NPLCONF-{page.name.upper()}", f"nplconf-{page.name}", page.about)
    yield from (".SH SYNOPSIS", _plain(page.usage), ".SH DESCRIPTION", _plain(f"{page.about}."))
    if page.own:
        yield from ('.SH "ARGUMENTS"', *_entries(page.own))
    for group, entries in page.groups.items():
        yield from (f'.SH "{group.upper()} OPTIONS"', *_entries(entries))
    yield from (".SH EXAMPLE", ".nf", _plain(page.example), ".fi")
    yield from (".SH SEE ALSO", "\\fBnplconf\\fR(1), which has the exit codes")


def _entries(entries: tuple[Parameter, ...]) -> Iterator[str]:
    for entry in entries:
        flags = ", ".join(f"\\fB{_plain(flag)}\\fR" for flag in entry.flags)
        value = f"\\fI{_plain(entry.metavar)}\\fR" if entry.metavar else ""
        yield from (".TP", " ".join(filter(None, (flags, value))), _plain(entry.about or f"One of {entry.metavar}."))


def _plain(text: str) -> str:
    """Return the text escaped for troff; no line begins with a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
