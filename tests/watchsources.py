"""The sources of `watchdriver.py`: a run waits until the mirror has all that the API server has, or cannot have it.

A test that changes the cluster and then starts a run passes the resourceVersion of each object that is there. The run
begins when each source has seen exactly these, or has failed since. So its snapshot is that of a `nplconf apply`.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from nplconf.cli import messages
from nplconf.cluster import Cluster
from nplconf.cluster.api import stream
from nplconf.cluster.api.client import ApiCluster
from nplconf.errors import NplconfError
from nplconf.settings import Settings
from nplconf.watch import source
from nplconf.watch.cluster import WatchedCluster
from nplconf.watch.hub import Hub
from nplconf.watch.mirror import Mirror, Resource
from nplconf.watch.source import Source

Versions = Mapping[Resource, Mapping[str, str]]
"""The resourceVersions of the objects of each resource, by UID."""
PAUSE = 0.02
"""Seconds between two attempts of a source, in place of the backoff."""
LIST_SECONDS = 3.0
SEEN_SECONDS = 30.0
"""For all sources to see what the API server has."""


class RecordingHub(Hub):
    """A hub that records the versions that it was given."""

    def __init__(self, mirror: Mirror) -> None:
        super().__init__(mirror)
        self._seen: dict[Resource, dict[str, str]] = {resource: {} for resource in mirror.objects}
        self._following: set[Resource] = set()
        self._losses: Counter[Resource] = Counter()
        self._needed = 1
        """Failures after which a source has failed since a test's last change. The first may have begun before."""

    def replace(self, resource: Resource, items: Iterable[Mapping[str, Any]]) -> None:
        """See `Hub`."""
        raws = list(items)
        super().replace(resource, raws)
        self._seen[resource] = dict(map(_version, raws))

    def event(self, resource: Resource, kind: str, raw: Mapping[str, Any]) -> None:
        """See `Hub`."""
        super().event(resource, kind, raw)
        uid, version = _version(raw)
        if kind == "DELETED":
            self._seen[resource].pop(uid, None)
        else:
            self._seen[resource][uid] = version

    def resumed(self, resource: Resource) -> None:
        """See `Hub`."""
        super().resumed(resource)
        self._following.add(resource)

    def lost(self, resource: Resource, problem: NplconfError) -> None:
        """See `Hub`."""
        super().lost(resource, problem)
        self._losses[resource] += 1

    def ended(self, resource: Resource, _backoff: float) -> None:
        """Take that a watch has ended or has not begun, and wait a moment."""
        self._following.discard(resource)
        time.sleep(PAUSE)

    def wait_for_versions(self, versions: Versions) -> None:
        """Wait until each source has seen these versions, or has failed."""
        before, until = Counter(self._losses), time.monotonic() + SEEN_SECONDS
        while missing := [name for name in self.mirror.objects if not self._has_seen(name, versions, before)]:
            assert time.monotonic() < until, f"{missing}: {self._seen} is not {versions}"
            time.sleep(PAUSE / 10)
        self._needed = 2

    def _has_seen(self, resource: Resource, versions: Versions, before: Mapping[Resource, int]) -> bool:
        complete = resource in self._following and self._seen[resource] == versions[resource]
        return complete or self._losses[resource] >= before[resource] + self._needed


def _version(raw: Mapping[str, Any]) -> tuple[str, str]:
    return raw["metadata"]["uid"], raw["metadata"]["resourceVersion"]


def followed(hub: RecordingHub, settings: Settings) -> Cluster:
    """Begin to follow the API server. Raises BadConfigError without credentials."""
    stream.LIST_SECONDS = LIST_SECONDS
    api = ApiCluster(settings.kubeconfig, messages.warning)
    find, selectors = api.credentials(), source.of_node(settings.node)
    for resource in hub.mirror.objects:
        opened = source._stream(find, resource, selectors)
        made = Source(hub, resource, opened, sleep=partial(hub.ended, resource))
        threading.Thread(target=made.follow, name=resource, daemon=True).start()
    return WatchedCluster(hub, api)
