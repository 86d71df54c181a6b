"""`nplconf schema plan|config|policy`: print a JSON schema."""

import argparse

from nplconf.files import schema
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("which", choices=("plan", "config", "policy"))


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the packaged schema."""
    print(schema.text(arguments.which), end="")
    return 0
