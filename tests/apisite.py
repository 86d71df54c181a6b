"""A node in namespaces, as in `netns`, whose cluster is a corner of the real API server, reached through a proxy."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netns
from corner import Corner
from faultproxy import Proxy


@dataclass(slots=True)
class Site(netns.World):
    """nplconf runs as the job does: with a token that is bound to this node, through the proxy."""

    corner: Corner = field(init=False)
    proxy: Proxy = field(init=False)
    kubeconfig: Path = field(init=False)

    def _options(self) -> tuple[str, ...]:
        where = self.directory
        state = ("--state-dir", str(where / "state"), "--hold-socket", str(where / "hold.sock"))
        own = ("--node", self.corner.node, "--kubeconfig", str(self.kubeconfig), "--backend", self.backend)
        return (*own, *state, *(() if self.hold else ("--no-hold",)))

    def use(self, **user: Any) -> None:
        """Be known to the API server by these credentials from now on."""
        self.kubeconfig = self.proxy.kubeconfig(self.corner.node, **user)

    def create(self, raw: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
        """Create a Pod of `routed` or `bridged` on the server."""
        spec = {**raw["spec"], "nodeName": self.corner.node}
        return self.corner.create_pod({**raw, **facts, "spec": spec})


@contextlib.contextmanager
def site(directory: Path, backend: str, corner: Corner) -> Iterator[Site]:
    """A node and a client; the test adds Pods and Services to the corner."""
    with netns.world(directory, backend, Site) as made:
        made.corner = corner
        with Proxy(corner.plane, namespace=made.node) as made.proxy:
            made.use(token=corner.token())
            yield made
