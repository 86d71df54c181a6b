"""`nplconf help [COMMAND]`: print the help text of a command, or write the man pages."""

import argparse

from nplconf.cli import options
from nplconf.errors import PermissionDeniedError, UsageError
from nplconf.files.strict_yaml import shown
from nplconf.settings import Settings
from nplconf.spelling import suggestion

resolve = options.without_config
"""Return the settings without the config file: help must not depend on it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("of", nargs="?", metavar="COMMAND", help="the command; without it all commands are listed")
    parser.add_argument("--man-pages", metavar="DIR", help="write the man pages of all commands to this directory")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print a help text or write the man pages. Raises UsageError, PermissionDeniedError."""
    from nplconf.cli import main

    if arguments.man_pages:
        _write(arguments.man_pages)
        return 0
    if arguments.of is None:
        print(main.overview(), end="")
        return 0
    if arguments.of not in main.COMMANDS:
        hint = suggestion(arguments.of, main.COMMANDS) or "; see nplconf --help"
        raise UsageError(f"unknown command {shown(arguments.of)}{hint}")
    print(main.parser_of(arguments.of).format_help(), end="")
    return 0


def _write(directory: str) -> None:
    from pathlib import Path

    from nplconf.cli import manual
    from nplconf.cli.files import write_output

    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise PermissionDeniedError(f"{directory}: cannot be made: {err.strerror}") from err
    for name, text in manual.files().items():
        write_output(str(Path(directory, name)), text)
