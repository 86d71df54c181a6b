"""`nplconf schema plan|config|policy`: prints a JSON schema."""

import argparse

from nplconf.files import schema
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("which", choices=("plan", "config", "policy"))


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """As it is shipped."""
    print(schema.text(arguments.which), end="")
    return 0
