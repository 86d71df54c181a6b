"""`nplconf backends`: the backends of each Service port, for load balancers outside the cluster."""

import argparse
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nplconf import addresses
from nplconf.backends import data, template
from nplconf.backends.collect import collect
from nplconf.backends.formats import FORMATS
from nplconf.backends.model import Wanted
from nplconf.characters import escaped
from nplconf.cli import messages
from nplconf.cli.files import write_output
from nplconf.deadline import current
from nplconf.desired.names import label
from nplconf.errors import NplconfError, StoppedError, UnavailableError, UsageError
from nplconf.files.reading import STDIN, read_text
from nplconf.files.strict_yaml import shown
from nplconf.model import ClusterState
from nplconf.settings import Settings

if TYPE_CHECKING:
    from nplconf.watch.hub import Cause, Hub

FIRST_LISTS_SECONDS = 30.0
"""Seconds for the first lists of a cluster. After that a failure is reported."""
COMMAND_SECONDS = 45.0
"""Seconds for the command of --on-change."""

Write = Callable[[dict[str, Any]], str]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument(
        "service", nargs="?", metavar="NAMESPACE/SERVICE[:PORT]", help="only this Service, or this port of it"
    )
    parser.add_argument("--format", choices=tuple(FORMATS), help="format of the list (default: json)")
    parser.add_argument("--template", metavar="FILE", help="a jinja2 template that writes the list")
    parser.add_argument("--out", metavar="FILE", help="replace this file atomically when the list has changed")
    parser.add_argument("--follow", action="store_true", help="go on, and write again whenever the list changes")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the list once, or with --follow whenever it changes."""
    _check(arguments, settings)
    wanted = _wanted(arguments.service) if arguments.service else None
    output = Output(arguments, settings, wanted)
    if arguments.follow:
        _follow(output, settings)
        return 0
    return 0 if output.write(_snapshot(settings)) else 5


class Output:
    """Writes the list, and runs the command after a change.

    Args:
        arguments: Those of the command line.
        settings: Those of this process; they have the command.
        wanted: The Services to list; empty for all.
    """

    def __init__(self, arguments: argparse.Namespace, settings: Settings, wanted: Wanted | None) -> None:
        self._out: str | None = arguments.out
        self._command = settings.on_change if arguments.out else ()
        self._wanted = wanted
        self._protocols = settings.protocols
        self._write = _writer(arguments)
        self._printed = ""
        self._due = False
        """The file has changed, and the command has not succeeded since."""

    def write(self, cluster: ClusterState) -> bool:
        """Write the list of a cluster state if it differs. Return False if the command failed.

        Raises:
            PermissionDeniedError: The file cannot be written.
            BadDataError: The template is wrong.
        """
        found = collect(cluster, self._wanted, self._protocols)
        self._warn(cluster)
        text = self._write(data.document(found))
        current().step()
        if self._out is None:
            self._print(text)
            return True
        if write_output(self._out, text):
            messages.notice(f"{self._out}: {sum(len(row.backends) for row in found.services)} backends")
            self._due = bool(self._command)
        self._due = self._due and not self._run()
        return not self._due

    def _print(self, text: str) -> None:
        if text != self._printed:
            print(text, end="", flush=True)
            self._printed = text

    def _warn(self, cluster: ClusterState) -> None:
        """Warn that the list of a Service is empty, with the reason."""
        wanted = self._wanted
        if wanted is None:
            return
        service = next((s for s in cluster.services if s.key == wanted.key), None)
        if service is None:
            messages.info(f"there is no Service {wanted.key}")
        elif not service.enabled:
            messages.info(f'Service {wanted.key} has no annotation nodeportlocal.antrea.io/enabled: "true"')

    def _run(self) -> bool:
        """Run the command. Return whether it succeeded."""
        from nplconf.node import command

        name = " ".join(self._command)
        try:
            done = command.run(*self._command, deadline=COMMAND_SECONDS)
        except UnavailableError as err:
            messages.error(f"on change: {err}")
            return False
        if done.code:
            messages.error(f"on change: {name}: {done.complaint}")
            return False
        messages.info(f"on change: {name}: done")
        return True


# --- what is given ---------------------------------------------------------------------------------------------------


def _check(arguments: argparse.Namespace, settings: Settings) -> None:
    if arguments.format and arguments.template:
        raise UsageError("--format and --template exclude each other")
    if getattr(arguments, "on_change", None) and not arguments.out:
        raise UsageError("--on-change needs --out FILE: it runs after the file has changed")
    if arguments.follow and STDIN in settings.cluster_state:
        raise UsageError("--follow cannot follow stdin")


def _wanted(text: str) -> Wanted:
    """Parse NAMESPACE/SERVICE[:PORT]. Raises UsageError."""
    key, colon, port = text.partition(":")
    namespace, _, service = key.partition("/")
    good = label(namespace) and label(service) and (not colon or (port.isdecimal() and port.isascii()))
    if not good or (colon and not 0 < int(port[:6]) < 65536):
        raise UsageError(f"{shown(text)} is not NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT, such as shop/web:80")
    return Wanted(namespace, service, int(port) if colon else None)


def _writer(arguments: argparse.Namespace) -> Write:
    """Return the function that turns the document into text. A template is read only once. Raises BadDataError."""
    path = arguments.template
    if not path:
        return FORMATS[arguments.format or "json"]
    name = "stdin" if path == STDIN else escaped(path)
    compiled = template.compiled(read_text(path), name)
    return lambda document: template.rendered(compiled, document, name)


# --- the cluster -----------------------------------------------------------------------------------------------------


def _snapshot(settings: Settings) -> ClusterState:
    if settings.cluster_state:
        from nplconf.cluster.file.dump import FileCluster

        return FileCluster(settings.cluster_state, None).snapshot(None)
    from nplconf.cluster.api.client import ApiCluster
    from nplconf.watch import source
    from nplconf.watch.mirror import Mirror

    mirror = Mirror.of_cluster()
    source.fill(mirror, ApiCluster(settings.kubeconfig, messages.warning).credentials())
    return mirror.state()


def _follow(output: Output, settings: Settings) -> None:
    """Write whenever the cluster changes, until SIGTERM."""
    from nplconf.watch import files, loop, pace
    from nplconf.watch.hub import Hub
    from nplconf.watch.mirror import Mirror

    with loop.stoppable() as stop:
        hub = Hub(Mirror.of_cluster(), debounce=pace.FOR_RELOADS)
        if settings.cluster_state:
            files.notice(lambda: settings.cluster_state, hub.edited)
            job = FollowJob(output, hub, lambda: _snapshot(settings), settings.resync)
        else:
            from nplconf.cluster.api.client import ApiCluster
            from nplconf.watch import source

            source.start(hub, ApiCluster(settings.kubeconfig, messages.warning).credentials(), {})
            hub.first_lists(FIRST_LISTS_SECONDS)
            job = FollowJob(output, hub, hub.snapshot, settings.resync)
        loop.follow(hub, job, stop)


class FollowJob:
    """One run of --follow. While the cluster cannot be read, the last list stays.

    Args:
        output: Writes the list.
        hub: Starts the next attempt after a failure.
        snapshot: Returns the cluster state.
        period: Seconds after which the list is written without any event.
    """

    def __init__(self, output: Output, hub: "Hub", snapshot: Callable[[], ClusterState], period: float) -> None:
        self._output, self._hub, self._snapshot = output, hub, snapshot
        self.period = period
        self._failures = 0
        self._timer: threading.Timer | None = None

    def alive(self) -> None:
        """See `loop.Job`."""

    def clear_caches(self) -> None:
        """See `loop.Job`."""
        addresses.clear_caches()

    def run(self, causes: "frozenset[Cause]") -> str:
        """Write once; see `loop.Job`."""
        messages.info(f"looking at the cluster: {', '.join(sorted(causes))}")
        try:
            done = self._output.write(self._snapshot())
        except StoppedError:
            raise
        except NplconfError as err:
            messages.error(f"{err}; the last list stays as it is")
            done = False
        if done:
            self._failures = 0
            return "the list is up to date"
        self._failures += 1
        self._again()
        return "the last attempt failed"

    def _again(self) -> None:
        from nplconf.watch import pace

        seconds = pace.backoff(self._failures, random.random())  # noqa: S311 not for secrets
        if self._timer:  # a resync may fail before the timer ends: one more timer for each failure would pile up
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._hub.again)
        self._timer.daemon = True
        self._timer.start()
