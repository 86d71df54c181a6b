"""The demo: what nplconf is for, played with real packets in throw-away network namespaces.

The plot is Antrea's issue 6281: a Pod with two ports and two Services, one of which stops asking for NodePortLocal.

- `cast`: the cluster's objects, as the API server would hold them
- `stage`: the namespaces and what runs in them; all of it is gone afterwards, whatever happens
- `actor`: the Pods' web servers and the client that asks them
- `voice`: what the audience reads
- `story`: the chapters, each of which checks what it shows
"""

import argparse
from collections.abc import Mapping
from typing import Any

from nplconf.errors import NplconfError
from nplconf.settings import Settings

LONGEST_PAUSE = 3600
"""Seconds."""


class DemoError(NplconfError):
    """The story went another way than it says; the audience is told, not shown something wrong. Exit 1."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this command takes."""
    parser.add_argument(
        "--pause",
        type=_seconds,
        metavar="SECONDS",
        help="between chapters (default: 1.5 on a terminal, else none)",
    )


def _seconds(text: str) -> float:
    """A pause. Raises ArgumentTypeError for what nobody can wait."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= LONGEST_PAUSE:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {LONGEST_PAUSE}")
    return seconds


def resolve(given: Mapping[str, Any], _environ: Mapping[str, str]) -> Settings:
    """Whatever the node's own configuration says, broken or not, is none of the demo's business."""
    from nplconf.cli import options

    return options.without_config(given, {"NODE_NAME": "demo"})


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Play it; a few seconds, and the pauses. The host's own network, rules and configuration are not touched.

    PermissionDeniedError without root, UnavailableError naming the package that is missing, DemoError when what is seen
    is not what was promised.
    """
    from nplconf.cli.commands.demo.stage import built, check_props

    check_props(settings.backend)
    from nplconf.cli.commands.demo.story import tell
    from nplconf.cli.commands.demo.voice import Voice

    voice = Voice.on_stdout(settings.color, arguments.pause)
    with built(settings.backend) as stage:
        tell(stage, voice)
    voice.curtain()
    return 0
