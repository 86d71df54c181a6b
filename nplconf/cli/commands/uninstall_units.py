"""`nplconf uninstall-units [--purge]`: remove nplconf from this node."""

import argparse
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from nplconf.cli import messages
from nplconf.cli.commands.cleanup import annotations, clean_up, say_failures
from nplconf.errors import NplconfError, PermissionDeniedError
from nplconf.install import reserved, systemd, units
from nplconf.model import Failure
from nplconf.node import state
from nplconf.output import data, structured, table
from nplconf.settings import CONFIG, DEFAULT_STATE, Settings

RUN = Path("/run/nplconf")
JOB = (*units.MODES.values(), "nplconf.service")
HOLD = ("nplconf-hold.socket", "nplconf-hold.service")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument("--purge", action="store_true", help="remove the state directory and /etc/nplconf, too")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Return 0, or 5 if a step failed. Each failure is logged, and the next steps run all the same."""
    if _is_bare(settings):
        settings = replace(settings, no_cluster=True)
    left = list(_take_away(settings, purge=arguments.purge))
    if not left:
        messages.notice(annotations(settings))
    say_failures(left)
    kept = [path for path in _places(settings) if Path(path).exists()]
    if settings.output == "table":
        table.write([("sum", _summary(settings.node, left, kept))], settings)
    else:
        found = {"node": settings.node, "failures": [data.failure(f) for f in left], "kept": kept}
        print(structured.text(found, settings.output), end="")
    return 5 if left else 0


def _summary(node: str, failures: list[Failure], kept: list[str]) -> str:
    if failures:
        return f"nplconf is not fully uninstalled from {node}: {table.counted(len(failures), 'step')} failed."
    done = f"nplconf is uninstalled from {node}."
    if not kept:
        return done
    return f"{done} {' and '.join(kept)} {'are' if len(kept) > 1 else 'is'} kept (remove with --purge)."


def _places(settings: Settings) -> tuple[str, ...]:
    """Return the directories that only --purge removes."""
    return tuple(dict.fromkeys((str(Path(CONFIG).parent), settings.state_dir)))


def _take_away(settings: Settings, *, purge: bool) -> Iterator[Failure]:
    """Run each step in an order in which no process can recreate what was removed."""
    if os.geteuid():
        raise PermissionDeniedError("uninstall-units removes units and rules: run it as root")
    steps: list[tuple[str, Callable[[], object]]] = [
        # The stop of a follower starts a run, so what it starts is stopped afterwards.
        ("firewall followers", lambda: _stop((units.RELOADS, *units.FOLLOWERS))),
        ("refresh", lambda: _stop((units.REFRESH,))),
        ("timer and job", lambda: _stop(JOB)),
        ("rules and annotations", lambda: clean_up(settings)),
        ("hold daemon", lambda: _stop(HOLD)),
        ("units", _remove_units),
        ("reserved ports", lambda: reserved.release(settings.port_range)),
        (str(RUN), lambda: _remove_tree(RUN)),
        (settings.hold_socket, lambda: _remove_socket_directory(Path(settings.hold_socket))),
        ("user of the hold daemon", systemd.remove_user),
        ("textfile", lambda: Path(settings.textfile).unlink(missing_ok=True) if settings.textfile else None),
        (settings.state_dir, lambda: _remove_state(settings.state_dir, everything=purge)),
    ]
    if purge:
        steps.append((str(Path(CONFIG).parent), lambda: _remove_tree(Path(CONFIG).parent)))
    for subject, step in steps:
        yield from _tried(subject, step)


def _is_bare(settings: Settings) -> bool:
    """Return whether nothing is installed here. Then a missing cluster is no failure."""
    named = settings.cluster_state or settings.kubeconfig
    return not named and not any(Path(path).exists() for path in (*units.PATHS, settings.state_dir, CONFIG))


def _tried(subject: str, step: Callable[[], object]) -> Iterator[Failure]:
    try:
        left = step()
    except NplconfError as err:
        yield Failure("uninstall", subject, str(err))
    except OSError as err:
        yield Failure("uninstall", subject, f"{err.filename}: {err.strerror}")
    else:
        yield from left if isinstance(left, tuple) else ()


def _stop(names: tuple[str, ...]) -> None:
    if systemd.runs() and (known := [name for name in names if systemd.is_known(name)]):
        systemd.call("systemctl", "stop", *known)
        with contextlib.suppress(NplconfError):
            # reset-failed fails for units that have not failed
            systemd.call("systemctl", "reset-failed", *known)


def _remove_units() -> None:
    if systemd.remove() and systemd.runs():
        systemd.call("systemctl", "daemon-reload")


def _remove_tree(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def _remove_socket_directory(path: Path) -> None:
    """Remove the directory that systemd created for the administrator's socket path. The socket is already removed."""
    if path.is_relative_to("/run"):
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def _remove_state(directory: str, *, everything: bool) -> None:
    """Remove the state. A state directory of the administrator's choice may contain other files, which stay.

    The default directory is created by the unit for each run, whichever directory is used.
    """
    if everything:
        state.remove(directory)
        _remove_tree(Path(DEFAULT_STATE))
    for place in {directory, DEFAULT_STATE}:
        with contextlib.suppress(OSError):
            Path(place).rmdir()
