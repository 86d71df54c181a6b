"""`nplconf demo`: show nplconf with real packets in temporary network namespaces.

The demo plays Antrea's issue 6281: a Pod with two ports and two Services, one of which stops asking for NodePortLocal.

- `cluster`: the objects of the cluster, in a file instead of the API server
- `testbed`: the namespaces and the processes in them, all of which are removed at the end
- `programs`: the web servers of the Pods, and the client
- `transcript`: the output: chapters, commands, and the result of each check
- `chapters`: what is shown and checked
"""

import argparse
from collections.abc import Mapping
from typing import Any

from nplconf.errors import NplconfError
from nplconf.settings import Settings

LONGEST_PAUSE = 3600
"""Seconds."""


class DemoError(NplconfError):
    """The demo saw something else than expected. Exit 1."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument(
        "--pause",
        type=_seconds,
        metavar="SECONDS",
        help="between chapters (default: 1.5 on a terminal, else none)",
    )


def _seconds(text: str) -> float:
    """Parse a pause in seconds. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= LONGEST_PAUSE:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {LONGEST_PAUSE}")
    return seconds


def resolve(given: Mapping[str, Any], _environ: Mapping[str, str]) -> Settings:
    """Return the settings of the demo. The node's own configuration has no influence."""
    from nplconf.cli import options

    return options.without_config(given, {"NODE_NAME": "demo"})


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the demo. It takes a few seconds, and the pauses. The host's network, rules and configuration do not change.

    Raises:
        PermissionDeniedError: The process is not root.
        UnavailableError: A program is missing. The message has the command that installs it.
        DemoError: A check failed.
    """
    from nplconf.cli.commands.demo.testbed import built, check_requirements

    check_requirements(settings.backend)
    from nplconf.cli.commands.demo.chapters import play
    from nplconf.cli.commands.demo.transcript import Transcript

    transcript = Transcript.on_stdout(settings.color, arguments.pause)
    with built(settings.backend) as testbed:
        play(testbed, transcript)
    transcript.end()
    return 0
