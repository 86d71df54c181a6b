"""`nplconf` and `python -m nplconf`: the first code of every command."""

import sys


def start() -> int:
    """Run the command; return its exit code.

    The version is printed before anything else is imported: imports take 70 ms. Ctrl-C during the imports ends without
    a traceback, too.
    """
    if sys.argv[1:] == ["--version"]:
        return _version()
    try:
        from nplconf.cli.main import main

        return main()
    except KeyboardInterrupt:
        return _INTERRUPTED


def _version() -> int:
    from nplconf import __version__

    try:
        print(f"nplconf {__version__}", flush=True)  # noqa: T201 the only result
    except OSError:
        sys.stdout = None  # otherwise the interpreter writes it once more at exit
        return 1
    return 0


_INTERRUPTED = 128 + 2
"""SIGINT. The module `signal` takes 5 ms to import."""


if __name__ == "__main__":
    sys.exit(start())
