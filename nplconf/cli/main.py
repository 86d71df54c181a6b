"""`nplconf COMMAND`: import the command's module alone, run it, and turn errors into exit codes."""

import argparse
import gc
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from nplconf.cli import messages, options, streams
from nplconf.errors import NplconfError, UsageError
from nplconf.files.strict_yaml import shown
from nplconf.spelling import suggestion


class Command(NamedTuple):
    """A command in help texts. Its code is the module of the same name in `cli.commands`."""

    about: str
    example: str


COMMANDS = {
    "render": Command(
        "Compute a plan from the cluster state",
        "nplconf render --cluster-state dump.yaml --node worker-1 --out plan.yaml",
    ),
    "validate": Command("List all problems of plan files, with file and line", "nplconf validate plans/worker-1.yaml"),
    "plan": Command("Show what apply would change on this node", "nplconf plan --detailed-exitcode"),
    "apply": Command("Make this node match the cluster and annotate its Pods", "nplconf apply --check"),
    "watch": Command("Apply whenever something changes, as a service", "nplconf watch --listen 127.0.0.1:9781"),
    "adopt": Command("Take over the node ports of an Antrea agent that was stopped", "sudo nplconf adopt --check"),
    "verify": Command("Compare rule, hold and annotation of every mapping", "nplconf verify -o json"),
    "show": Command("List this node's live mappings", "nplconf show"),
    "explain": Command(
        "Explain why a Pod, Service or node port is or is not mapped", "nplconf explain service/shop/web"
    ),
    "diff": Command("Compare two plans, or a plan and the node", "nplconf diff before.yaml after.yaml -o markdown"),
    "doctor": Command("Check this node and print a fix for each problem", "sudo nplconf doctor"),
    "backends": Command(
        "List the backends of each Service port, for load balancers",
        "nplconf backends --format haproxy --out backends.cfg --follow --on-change 'systemctl reload haproxy'",
    ),
    "report": Command("Write an HTML page about this node or a plan", "nplconf report --out node.html"),
    "cleanup": Command("Remove all rules and annotations of nplconf from this node", "sudo nplconf cleanup --check"),
    "hold": Command("Run the daemon that holds the port range", "nplconf hold --port-range 61000-62000"),
    "install-units": Command("Write the systemd units for this nplconf", "sudo nplconf install-units --now"),
    "uninstall-units": Command("Remove nplconf from this node", "sudo nplconf uninstall-units --purge"),
    "schema": Command("Print a JSON schema", "nplconf schema config"),
    "example": Command("Print an example file", "nplconf example config"),
    "demo": Command("Show a complete run in temporary network namespaces", "sudo nplconf demo"),
    "help": Command("Show the help text of a command", "nplconf help apply"),
    "completion": Command("Print a shell's completion script", "nplconf completion bash"),
}
"""The commands by name. Each is a module in `commands` with `arguments(parser)` and `run(arguments, settings)`."""
PURPOSES = {
    "Plans": ("render", "validate", "plan", "diff", "report"),
    "This node": ("apply", "watch", "adopt", "hold", "cleanup"),
    "State and faults": ("show", "verify", "explain", "doctor"),
    "Load balancers": ("backends",),
    "Installation": ("install-units", "uninstall-units"),
    "Help": ("help", "completion", "schema", "example", "demo"),
}
"""The commands by purpose, for `nplconf --help` and the man page."""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """argparse's formatter with a known width. argparse would import shutil, which costs every run 3 ms and 1 MiB."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """Return the width of the terminal on stdout, or 80. COLUMNS overrides it."""
    if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class Parser(argparse.ArgumentParser):
    """argparse with exit code 64 for errors."""

    def __init__(self, **how: Any) -> None:
        self.declared: list[argparse.Action] = []
        super().__init__(**({"formatter_class": Formatter} | how))

    def add_argument(self, *names: str, **how: Any) -> argparse.Action:
        """Declare an argument and add it to `declared`, from which man pages and completions are made."""
        action = super().add_argument(*names, **how)
        self.declared.append(action)
        return action

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def flags(self) -> list[str]:
        """Return the long flags that the help text shows."""
        return re.findall(r"(?<![\w-])--[a-z-]+", self.format_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    streams.open_missing()
    streams.show_anything()
    messages.prepare(words, os.environ)
    # A run creates many values and ends: the search for cycles among them would take longer than reading them.
    gc.disable()
    try:
        return _run(words)
    except NplconfError as err:
        messages.error(str(err))
        return err.exit_code
    except BrokenPipeError:
        # `| head` reads no more
        streams.silence(sys.stdout)
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except RecursionError:
        messages.error("the input is nested too deeply")
        return 65
    except Exception as err:  # noqa: BLE001 an operator needs no traceback; --verbose shows it
        if isinstance(err, OSError) and streams.refused(err):
            streams.silence(sys.stdout)
            messages.error(f"stdout: cannot be written: {err.strerror}")
        else:
            messages.unexpected(err)
        return 1


def _run(words: list[str]) -> int:
    chosen = _chosen(words)
    if chosen is None:
        print(overview(), end="")
        return 0
    module = _module(chosen)
    parser = _bare(chosen)
    _declare(parser, chosen, module.arguments, helping=not HELP.isdisjoint(words))
    arguments, further = parser.parse_known_args(words[1:])
    if further:
        raise options.unknown(further, parser.flags())
    resolve = getattr(module, "resolve", options.resolve)
    settings = resolve(vars(arguments), os.environ)
    messages.configure(settings)
    result: int = module.run(arguments, settings)
    sys.stdout.flush()
    return result


HELP = frozenset(("-h", "--help"))


def overview() -> str:
    """Return the help text of nplconf itself: its commands by purpose."""
    width = max(map(len, COMMANDS))
    parts = [
        "\n".join((f"{purpose}:", *(f"  {name:{width}}  {COMMANDS[name].about}" for name in names)))
        for purpose, names in PURPOSES.items()
    ]
    head = "usage: nplconf COMMAND [OPTION...]\n       nplconf --version\n\nNodePortLocal for any Kubernetes node."
    return "\n\n".join((head, *parts, "Options and an example of a command: nplconf help COMMAND\n"))


def parser_of(name: str) -> Parser:
    """Return the parser of a command as in its help text."""
    parser = _bare(name)
    _declare(parser, name, _module(name).arguments, helping=True)
    return parser


def _bare(name: str) -> Parser:
    return Parser(prog=f"nplconf {name}", description=f"{COMMANDS[name].about}.", allow_abbrev=False)


def _module(name: str) -> Any:
    return importlib.import_module(f"nplconf.cli.commands.{name.replace('-', '_')}")


def _chosen(words: Sequence[str]) -> str | None:
    """Return the command of a command line; None for a request of help. Raises UsageError."""
    if not words:
        raise UsageError("a COMMAND is missing; see nplconf --help")
    word = words[0]
    if word in HELP:
        return None
    if word.startswith("-"):
        raise UsageError(f"options follow the command: nplconf COMMAND {word}; see nplconf --help")
    if word not in COMMANDS:
        hint = suggestion(word, COMMANDS) or f"; known are {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command {shown(word)}{hint}")
    return word


def _declare(
    parser: argparse.ArgumentParser, name: str, own: Callable[[argparse.ArgumentParser], None], *, helping: bool
) -> None:
    """Declare the arguments of the chosen command. helping: the help text is requested."""
    own(parser)
    if helping:
        usage = parser.format_usage().removeprefix("usage: ").strip()
        parser.usage = f"{usage} [OPTION...]"
        parser.epilog = (
            f"Example:\n  {COMMANDS[name].example}\n\n"
            "Options of other commands are accepted and have no effect. Each option is also an environment variable\n"
            "(--state-dir: NPLCONF_STATE_DIR) and a key of the config file (stateDir)."
        )
    options.add_to(parser, name)
