"""`nplconf` and `python -m nplconf`: the first code of every command."""

import signal
import sys


def start() -> int:
    """Run the command; return its exit code. Ctrl-C while modules are still imported ends without a traceback, too."""
    try:
        from nplconf.cli.main import main

        return main()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(start())
