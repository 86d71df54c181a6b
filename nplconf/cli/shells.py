"""The completion scripts of bash, zsh and fish, from the same data as the man pages.

A script contains commands, options and fixed values. For node names and live ports it calls `nplconf completion` when
one of these is completed.
"""

from collections.abc import Iterator

from nplconf.cli.pages import Page, Parameter, pages

PROMPTED = "nplconf completion nodes --"
"""Prints the node names in the files of the command line that follows."""
PORTS = "nplconf completion ports"


def script(shell: str) -> str:
    """Return the script for "bash", "zsh" or "fish"."""
    lines = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](pages())
    return "\n".join(lines) + "\n"


def _source(entry: Parameter) -> str:
    """Return the source of an entry's values: words, nodes, ports, dir, file or "" (unknown)."""
    if entry.words:
        return "words"
    if "--node" in entry.flags:
        return "nodes"
    known = {"WHAT": "ports", "DIR": "dir", "FILE": "file", "PLAN": "file", "SOCKET": "file", "A": "file", "B": "file"}
    return known.get(entry.metavar, "")


# --- bash ------------------------------------------------------------------------------------------------------------


def _bash(found: tuple[Page, ...]) -> Iterator[str]:
    yield "# bash completion for nplconf. Printed by: nplconf completion bash"
    yield "_nplconf() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}"
    yield '    local command=${COMP_WORDS[1]} flags=""'
    yield "    COMPREPLY=()"
    yield "    if ((COMP_CWORD == 1)); then"
    yield f"        {_offer(' '.join((*(page.name for page in found), '--help', '--version')))}"
    yield "        return"
    yield "    fi"
    yield '    case "$command $before" in'
    for page in found:
        yield from (line for entry in page.entries if entry.flags for line in _bash_value(page, entry))
    yield "    esac"
    yield "    if [[ $word != -* ]]; then"
    yield "        case $command in"
    for page in found:
        for entry in page.entries:
            if not entry.flags and (offer := _bash_offer(entry)):
                yield f"            {page.name}) {offer} ;;"
    yield "        esac"
    yield "        return"
    yield "    fi"
    yield "    case $command in"
    for page in found:
        flags = " ".join(flag for entry in page.entries for flag in entry.flags)
        yield f'        {page.name}) flags="{flags} --help" ;;'
    yield "    esac"
    yield f"    {_offer('$flags')}"
    yield "}"
    yield "complete -F _nplconf nplconf"


def _bash_value(page: Page, entry: Parameter) -> Iterator[str]:
    if entry.metavar:
        patterns = "|".join(f'"{page.name} {flag}"' for flag in entry.flags)
        yield f"        {patterns}) {_bash_offer(entry) or ':'}; return ;;"


def _bash_offer(entry: Parameter) -> str:
    offers = {
        "words": _offer(" ".join(entry.words)),
        "nodes": _offer(f'$({PROMPTED} "${{COMP_WORDS[@]:2}}" 2>/dev/null)'),
        "ports": _offer(f"$({PORTS} 2>/dev/null)"),
        "dir": 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$word")',
        "file": 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word")',
    }
    return offers.get(_source(entry), "")


def _offer(words: str) -> str:
    return f'mapfile -t COMPREPLY < <(compgen -W "{words}" -- "$word")'


# --- zsh -------------------------------------------------------------------------------------------------------------


def _zsh(found: tuple[Page, ...]) -> Iterator[str]:
    yield "#compdef nplconf"
    yield "# zsh completion for nplconf. Printed by: nplconf completion zsh"
    yield (
        '_nplconf_nodes() { local -a found; found=(${(f)"$('
        + PROMPTED
        + ' ${words[2,-1]} 2>/dev/null)"}); compadd -a found }'
    )
    yield '_nplconf_ports() { local -a found; found=(${(f)"$(' + PORTS + ' 2>/dev/null)"}); compadd -a found }'
    yield "_nplconf() {"
    yield "    local -a commands"
    yield "    commands=("
    yield from (f"        {_quoted(f'{page.name}:{page.about}')}" for page in found)
    yield "    )"
    yield "    if (( CURRENT == 2 )); then"
    yield "        _describe command commands"
    yield "        _arguments '--help[list the commands]' '--version[print the version]'"
    yield "        return"
    yield "    fi"
    yield "    shift words"
    yield "    (( CURRENT-- ))"
    yield "    case $words[1] in"
    for page in found:
        specs = (spec for entry in page.entries for spec in _zsh_specs(entry))
        yield f"        {page.name}) _arguments {' '.join(map(_quoted, specs))} ;;"
    yield "    esac"
    yield "}"
    yield 'if [[ $funcstack[1] == _nplconf ]]; then _nplconf "$@"; else compdef _nplconf nplconf; fi'


def _zsh_specs(entry: Parameter) -> Iterator[str]:
    about = entry.about.replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    actions = {
        "words": f"({' '.join(entry.words)})",
        "nodes": "_nplconf_nodes",
        "ports": "_nplconf_ports",
        "dir": "_files -/",
        "file": "_files",
    }
    value = f":{entry.metavar.replace(':', ' ')}:{actions.get(_source(entry), '')}" if entry.metavar else ""
    if not entry.flags:
        yield f"*{value}"
    for flag in entry.flags:
        yield f"*{flag}[{about}]{value}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish ------------------------------------------------------------------------------------------------------------


def _fish(found: tuple[Page, ...]) -> Iterator[str]:
    yield "# fish completion for nplconf. Printed by: nplconf completion fish"
    yield "complete -c nplconf -f"
    for page in found:
        yield f"complete -c nplconf -n __fish_use_subcommand -a {page.name} -d {_fish_quoted(page.about)}"
    yield "complete -c nplconf -n __fish_use_subcommand -l version -d 'print the version'"
    for page in found:
        yield from (
            f"complete -c nplconf -n '__fish_seen_subcommand_from {page.name}' {_fish_entry(e)}" for e in page.entries
        )


def _fish_entry(entry: Parameter) -> str:
    values = {
        "words": f"-x -a {_fish_quoted(' '.join(entry.words))}",
        "nodes": f"-x -a '({PROMPTED} (commandline -opc)[2..] 2>/dev/null)'",
        "ports": f"-x -a '({PORTS} 2>/dev/null)'",
        "dir": "-x -a '(__fish_complete_directories)'",
        "file": "-r -F",
    }
    value = values.get(_source(entry), "-x") if entry.metavar else ""
    if not entry.flags:
        return value.removeprefix("-x ").removeprefix("-r ") or "-f"
    names = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in entry.flags)
    return " ".join(filter(None, (names, value, f"-d {_fish_quoted(entry.about)}")))


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
