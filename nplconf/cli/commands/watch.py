"""`nplconf watch`: apply whenever an event makes it necessary, and every --resync seconds in any case."""

import argparse
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from nplconf.cli import options, plans, record, say
from nplconf.cli.commands import apply as apply_command
from nplconf.cli.worlds import Worlds, open_cluster
from nplconf.errors import NplconfError, StoppedError
from nplconf.node.linux import LinuxNode
from nplconf.run.outcome import Result
from nplconf.settings import Settings
from nplconf.watch.drift import Monitor
from nplconf.watch.files import LastGood, notice
from nplconf.watch.hub import Cause, Hub
from nplconf.watch.loop import follow
from nplconf.watch.mirror import Mirror
from nplconf.watch.node import RememberedNode

if TYPE_CHECKING:
    from nplconf.cluster import Cluster
    from nplconf.run.decision import Bounds
    from nplconf.watch.server import Metrics

FIRST_LISTS_SECONDS = 20.0
"""How long the first run waits for the first lists."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this command takes."""
    apply_command.arguments(parser)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Follow the cluster and the node until SIGTERM."""
    Watch(arguments, settings).run()
    return 0


class Watch:
    """The job of watch mode: one `apply` for each call, on a snapshot of the mirror.

    Args:
        arguments: as of `apply`.
        settings: as at the start; the config file is followed.
    """

    def __init__(self, arguments: argparse.Namespace, settings: Settings) -> None:
        self._arguments = arguments
        self._settings = LastGood(self._resolve, self._broken)
        self._bounds: LastGood[Bounds] = LastGood(self._reviewed, self._broken)
        self._now = settings
        self._hub = Hub(Mirror.of_node(settings.node))
        self._monitor = Monitor(self._hub.drifted)
        self._node = RememberedNode(LinuxNode.open(settings), self._monitor)
        self._cluster = self._follow_cluster()
        self._metrics = self._serve()

    def run(self) -> None:
        """Follow until SIGTERM."""
        self._monitor.start()
        notice(self._paths, self._hub.edited)
        if not self._now.cluster_state:
            self._hub.first_lists(FIRST_LISTS_SECONDS)
        follow(self._hub, self, self._now.resync, self._alive)

    def __call__(self, causes: frozenset[Cause]) -> str:
        """Carry out one run and report it; see `loop.Job`."""
        try:
            self._now = self._settings.get([self._now.config])
            bounds = self._bounds.get(self._bounding())
            if "resync" in causes or "drift" in causes:
                self._reread()
            worlds = Worlds(lambda: self._node, self._opened)
            result, code = record.recorded(
                self._now, lambda: apply_command.carry_out(self._now, worlds, lambda: bounds), self._publish
            )
        except StoppedError:
            raise
        except NplconfError as err:
            self._node.forget()
            say.error(str(err))
            return f"the last run failed: {err}"
        except Exception as err:  # noqa: BLE001 one run that fails must not end the service
            self._node.forget()
            say.unexpected(err)
            return "the last run failed"
        return self._report(result, code)

    def _report(self, result: Result, code: int) -> str:
        if code:
            self._node.forget()
        self._hub.wake(result.decision.next_end)
        apply_command.report(result, replace(self._now, quiet=True, output="table"))
        self._count(result, code)
        return f"{len(result.in_place)} mappings in place, last exit code {code}"

    # --- what a run depends on

    def _resolve(self) -> Settings:
        given = vars(self._arguments)
        return options.resolve({name: value for name, value in given.items() if value is not None}, os.environ)

    def _reviewed(self) -> "Bounds":
        return plans.bounds(self._arguments.plan, self._now, exact=self._now.exact)

    def _broken(self, err: Exception) -> None:
        say.error(f"{err}; the last good one stays in force")

    def _bounding(self) -> list[str]:
        found = (plans.given(self._arguments.plan, self._now), self._now.policy)
        return [path for path in found if path]

    def _paths(self) -> Iterable[str]:
        return [self._now.config, *self._bounding(), *self._now.cluster_state]

    def _reread(self) -> None:
        self._node = RememberedNode(LinuxNode.open(self._now), self._monitor)
        if self._metrics:
            self._metrics.read_now()

    # --- the cluster

    def _follow_cluster(self) -> "Cluster | None":
        """Start to follow the API server. None for a file, which is read in each run."""
        if self._now.cluster_state:
            return None
        from nplconf.cluster.api.client import ApiCluster
        from nplconf.watch import source
        from nplconf.watch.cluster import WatchedCluster

        api = ApiCluster(self._now.kubeconfig, say.warning)
        source.start(self._hub, api.credentials(), source.of_node(self._now.node))
        return WatchedCluster(self._hub, api)

    def _opened(self) -> "Cluster":
        return self._cluster or open_cluster(self._now)

    # --- metrics

    def _serve(self) -> "Metrics | None":
        if not self._now.listen:
            return None
        from nplconf.watch.server import Metrics, serve

        metrics = Metrics(self._hub)
        serve(self._now.listen, metrics)
        return metrics

    def _alive(self) -> None:
        if self._metrics:
            self._metrics.alive_now()

    def _publish(self, text: str) -> None:
        if self._metrics:
            self._metrics.of_run = text

    def _count(self, result: Result, code: int) -> None:
        if not self._metrics:
            return
        ports = {(m.pod.namespace, m.node_port) for m in result.in_place if m.via == "dnat"}
        self._metrics.finished(Counter(namespace for namespace, _ in ports), good=code == 0)
        if result.patches and self._hub.began:
            self._metrics.published(self._hub.began)
