"""`nplconf hold`: the daemon that holds every number of the range."""

import argparse

from nplconf.hold.daemon import main
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing beside the options of every command."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Runs until SIGTERM."""
    return main(settings.port_range, settings.hold_socket)
