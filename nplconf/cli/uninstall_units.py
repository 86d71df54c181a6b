"""`nplconf uninstall-units`: nothing of nplconf stays here but what it remembers; with --purge not even that."""

import argparse
import os
from pathlib import Path

from nplconf.cli import say
from nplconf.cli.cleanup import clean_up
from nplconf.errors import NplconfError, PermissionDeniedError
from nplconf.model import Failure
from nplconf.node import reserved, systemd
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this command takes."""
    parser.add_argument("--purge", action="store_true", help="remove the state directory and /etc/nplconf, too")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """0 when nothing is left, 5 when something is, by name. Every step is tried, whatever became of the others."""
    if os.geteuid() != 0:
        raise PermissionDeniedError("uninstall-units removes units, rules and annotations: run it as root")
    failures = [
        *systemd.stop_job(),
        *_cleaned(settings),
        *systemd.stop_hold(),
        *_released(settings),
        *systemd.remove(),
        *(failure for path in _files(settings, purge=arguments.purge) if (failure := systemd.gone(Path(path)))),
    ]
    for failure in failures:
        say.error(f"{failure.step}: {failure.subject}: {failure.message}")
    print(f"Uninstalled from {settings.node}: {len(failures)} left.")
    return 5 if failures else 0


def _cleaned(settings: Settings) -> tuple[Failure, ...]:
    try:
        return clean_up(settings)
    except NplconfError as err:
        return (Failure("cleanup", settings.node, str(err)),)


def _released(settings: Settings) -> list[Failure]:
    try:
        reserved.release(settings.port_range)
    except NplconfError as err:
        return [Failure("reserved ports", settings.node, str(err))]
    return []


def _files(settings: Settings, *, purge: bool) -> list[str]:
    textfile = [settings.textfile] if settings.textfile else []
    return textfile + ([settings.state_dir, "/etc/nplconf"] if purge else [])
