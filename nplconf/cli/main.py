"""`nplconf COMMAND`: finds the command's file, imports that one alone, and turns errors into exit codes."""

import argparse
import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from nplconf import __version__
from nplconf.cli import options, say, streams
from nplconf.errors import NplconfError, UsageError

COMMANDS = {
    "render": "cluster state -> plan",
    "validate": "all problems of plans, with file and line",
    "plan": "what apply would change here",
    "apply": "make the node match, look again, annotate Pods",
    "verify": "rule, hold and annotation of every mapping, compared",
    "show": "this node's live mappings",
    "explain": "why a Pod, Service or node port is or is not mapped",
    "diff": "two plans, or a plan and the node",
    "doctor": "what is well on this node, and what mends what is not",
    "report": "one self-contained HTML page",
    "cleanup": "remove everything of ours from this node",
    "hold": "the daemon that holds the port range",
    "install-units": "write the systemd units of this nplconf",
    "uninstall-units": "take everything of ours off this node",
    "schema": "print a schema",
    "demo": "the whole story in throw-away network namespaces",
}
"""Each is a module of this package with `arguments(parser)` and `run(arguments, settings) -> exit code`."""


class Formatter(argparse.HelpFormatter):
    """argparse's own, told how wide it may be: it would ask shutil, 3 ms and a MiB of every run that shows no help."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """Of the terminal that stdout is, if it is one; COLUMNS counts more, as everywhere."""
    if (told := os.environ.get("COLUMNS", "")).isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class Parser(argparse.ArgumentParser):
    """argparse with the exit code of the contract."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**({"formatter_class": Formatter} | how))

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    streams.open_missing()
    streams.show_anything()
    say.prepare(words, os.environ)
    # One run makes many values and ends: looking for cycles among them takes longer than reading them did.
    gc.disable()
    try:
        return _run(words)
    except NplconfError as err:
        say.error(str(err))
        return err.exit_code
    except BrokenPipeError:
        # `| head` has read enough
        streams.silence(sys.stdout)
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except RecursionError:
        say.error("the input is nested too deeply")
        return 65
    except Exception as err:  # noqa: BLE001 a traceback helps no operator; --verbose shows it
        if isinstance(err, OSError) and streams.refused(err):
            streams.silence(sys.stdout)
            say.error(f"stdout: cannot be written: {err.strerror}")
        else:
            say.unexpected(err)
        return 1


def _run(words: list[str]) -> int:
    parser = Parser(prog="nplconf", description="NodePortLocal for any Kubernetes node.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"nplconf {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if word in COMMANDS), None)
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        if name == chosen:
            module = importlib.import_module(f"nplconf.cli.commands.{name.replace('-', '_')}")
            module.arguments(command)
            options.add_to(command)
    arguments = parser.parse_args(words)
    resolve = getattr(module, "resolve", options.resolve)
    settings = resolve(vars(arguments), os.environ)
    say.configure(settings)
    result: int = module.run(arguments, settings)
    sys.stdout.flush()
    return result
