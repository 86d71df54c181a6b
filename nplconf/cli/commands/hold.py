"""`nplconf hold`: run the daemon that holds every port of the range."""

import argparse
import gc

from nplconf.errors import BlockedError
from nplconf.hold.daemon import main
from nplconf.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument(
        "--reserve",
        action="store_true",
        help="hold nothing, only add the range to net.ipv4.ip_local_reserved_ports (the unit does it first)",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the sockets when the daemon ends, and hand them to the next one (containers, in place of systemd)",
    )
    parser.add_argument("--ready-file", metavar="FILE", help="with --keep: this file is there while the range is held")


def refuse_beside_agent() -> None:
    """Raise BlockedError beside an Antrea agent: the daemon would bind the node ports that the agent serves."""
    from nplconf.node import antrea
    from nplconf.rules.antrea import live_agent

    if message := live_agent(antrea.found()):
        raise BlockedError(f"blocked: {message}")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run until SIGTERM. With --reserve, reserve the range and return at once."""
    if arguments.reserve:
        from nplconf.install.reserved import reserve

        reserve(settings.port_range)
        return 0
    if not settings.force:
        refuse_beside_agent()
    gc.enable()
    if arguments.keep:
        from nplconf.hold import keeper

        return keeper.main(settings.port_range, settings.hold_socket, arguments.ready_file, settings.protocols)
    return main(settings.port_range, settings.hold_socket, protocols=settings.protocols)
