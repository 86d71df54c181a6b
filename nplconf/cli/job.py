"""One run of watch mode: `apply` with the cached cluster and node, recorded and reported."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nplconf import addresses
from nplconf.cache import Cache
from nplconf.cli import messages, record
from nplconf.cli.commands import apply
from nplconf.cli.connections import Connections, open_cluster
from nplconf.cli.inputs import FollowedInputs
from nplconf.cluster import Cluster
from nplconf.errors import NplconfError, StoppedError
from nplconf.node import NodeAccess, nftsets
from nplconf.node.linux import LinuxNode
from nplconf.node.state import FILE
from nplconf.rules.iptables import rule
from nplconf.run import act, reconcile
from nplconf.run.decision import Bounds
from nplconf.run.outcome import Result
from nplconf.settings import Settings
from nplconf.watch.hub import Cause, Hub
from nplconf.watch.node import RememberedNode

if TYPE_CHECKING:
    from nplconf.watch.metrics import Metrics


class WatchJob:
    """The runs of one process, one after another; see `watch.loop.Job`.

    Args:
        inputs: Configuration, plan and policy.
        hub: Has the cause of each run.
        cluster: The mirror; None for files, which each run reads.
        metrics: The metrics endpoint.
    """

    def __init__(
        self,
        inputs: FollowedInputs,
        hub: Hub,
        cluster: Cluster | None = None,
        metrics: "Metrics | None" = None,
    ) -> None:
        self._inputs, self._hub = inputs, hub
        self._cluster, self._metrics = cluster, metrics
        self._cache = Cache(lasting=True)
        self._node = self._opened()

    @property
    def period(self) -> float:
        """See `Job`."""
        return self._inputs.settings.resync

    def alive(self) -> None:
        """See `Job`."""
        if self._metrics:
            self._metrics.alive_now()

    def clear_caches(self) -> None:
        """See `Job`. 10,000 changed rules would take 10 MB."""
        self._cache = Cache(lasting=True)
        addresses.clear_caches()
        nftsets.clear_cache()
        rule.parse.cache_clear()

    def run(self, causes: frozenset[Cause]) -> str:
        """See `Job`."""
        try:
            return self._report(*self._recorded(causes))
        except StoppedError:
            raise
        except NplconfError as err:
            messages.error(str(err))
            return f"the last run failed: {err}"
        except Exception as err:  # noqa: BLE001 one run that fails must not end the service
            messages.unexpected(err)
            return "the last run failed"

    def _recorded(self, causes: frozenset[Cause]) -> tuple[Result, int]:
        before, settings = self._inputs.settings, self._inputs.renew()
        if settings != before or not causes.isdisjoint({"resync", "drift"}):
            self._node = self._opened()
            if self._metrics:
                self._metrics.read_now()
        connections = Connections(lambda: self._node, lambda: self._cluster or open_cluster(settings))
        publish = self._metrics.take if self._metrics else None
        return record.recorded(settings, connections, lambda: self._carried_out(connections), publish)

    def _carried_out(self, connections: Connections) -> Result:
        try:
            result = apply.carry_out(self._inputs.settings, connections, self._inputs.bounds, self._applied)
        except Exception:
            self._node.forget()
            raise
        if result.exit_code:
            self._node.forget()
        return replace(result, degraded=(*self._inputs.problems, *result.degraded))

    def _applied(self, cluster: Cluster, node: NodeAccess, settings: Settings, bounds: Bounds) -> Result:
        problems: tuple[str, ...] = ()
        self._node.begin_run()
        try:
            result = reconcile.apply(cluster, node, settings, bounds, self._cache)
        finally:
            if last := self._node.end_run():
                problems = act.save_state(node, last, self._node.load().text).problems
        return replace(result, degraded=tuple(dict.fromkeys((*result.degraded, *problems))))

    def _opened(self) -> RememberedNode:
        settings = self._inputs.settings
        return RememberedNode(LinuxNode.open(settings), Path(settings.state_dir, FILE))

    def _report(self, result: Result, code: int) -> str:
        self._hub.wake(result.decision.next_end)
        apply.report(result, replace(self._inputs.settings, quiet=True, output="table"))
        if self._metrics:
            ports = {(m.pod.namespace, m.node_port) for m in result.in_place if m.via == "dnat"}
            self._metrics.finished(Counter(namespace for namespace, _ in ports), good=record.completed(result))
            if result.patches and self._hub.began:
                self._metrics.published(self._hub.began)
        return f"{len(result.in_place)} mappings in place, last exit code {code}"
