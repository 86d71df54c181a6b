"""A node in namespaces, as in `netns`, with the real API server as its cluster, reached through a fault proxy."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import netns
from area import Area
from faultproxy import Proxy
from watching import Driven, by_commands, eventually

from nplconf.watch import source


@dataclass(slots=True)
class Site(netns.World):
    """nplconf runs as the job does: with a token that is bound to this node, through the proxy."""

    area: Area = field(init=False)
    proxy: Proxy = field(init=False)
    kubeconfig: Path = field(init=False)

    def _options(self) -> tuple[str, ...]:
        where = self.directory
        state = ("--state-dir", str(where / "state"), "--hold-socket", str(where / "hold.sock"))
        own = ("--node", self.area.node, "--kubeconfig", str(self.kubeconfig), "--backend", self.backend)
        return (*own, *state, *(() if self.hold else ("--no-hold",)))

    def versions(self) -> dict[str, dict[str, str]]:
        """See `World`."""
        selectors = source.of_node(self.area.node)
        found: dict[str, dict[str, str]] = {}
        for resource in source.KINDS:
            query = urlencode({"fieldSelector": selectors.get(resource, "")})
            items = self.area.plane.ok("GET", f"/api/v1/{resource}?{query}")["items"]
            found[resource] = {raw["metadata"]["uid"]: raw["metadata"]["resourceVersion"] for raw in items}
        return found

    def cut(self) -> None:
        """Break off what watch mode follows; it has noticed when this returns. A watch meets a fault when it begins."""
        before = len(self.proxy.seen("GET"))
        broken = self.proxy.cut_streams()
        eventually(lambda: len(self.proxy.seen("GET")) >= before + broken)

    def use(self, **user: Any) -> None:
        """Be known to the API server by these credentials from now on."""
        self.kubeconfig = self.proxy.kubeconfig(self.area.node, **user)

    def create(self, raw: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
        """Create a Pod of `routed` or `bridged` on the server."""
        spec = {**raw["spec"], "nodeName": self.area.node}
        return self.area.create_pod({**raw, **facts, "spec": spec})


@contextlib.contextmanager
def site(directory: Path, backend: str, area: Area, driven: Driven = by_commands) -> Iterator[Site]:
    """A node and a client; the test adds Pods and Services to the area."""
    with netns.world(directory, backend, Site) as made:
        made.area = area
        with Proxy(area.plane, namespace=made.node) as made.proxy:
            made.use(token=area.token())
            with driven(made):
                yield made
