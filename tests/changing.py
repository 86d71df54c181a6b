"""A node whose cluster changes Pod by Pod. It has only twenty ports, so that tests wait little."""

from typing import Any

from netns import World
from worlds import raw_service

NUMBERS = ("--port-range", "61000-61019")


class Site(World):
    """A node with a hold daemon; what its cluster has is kept, so that a test can add to it and take away."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.objects: list[dict[str, Any]] = []

    def _options(self) -> tuple[str, ...]:
        return (*super()._options(), *NUMBERS)

    def serve_pod(self, name: str, ip: str) -> None:
        """A Pod with a link to the node, and its port in the cluster."""
        self.objects.append(self.routed(name, ip))
        self.cast(*self.objects)

    def cast(self, *pods: dict[str, Any]) -> None:
        """The cluster has these Pods, and a Service that selects them all."""
        service = raw_service()
        service["spec"]["selector"] = {"all": "yes"}
        self.objects = list(pods)
        self.write(service, *pods)

    def end_daemon(self) -> None:
        """The hold daemon is gone from one moment to the next."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def number(self, pod: str = "web-0") -> int:
        """The node port that leads to a Pod, from the kernel's rules."""
        (rule,) = (line for line in self.ours() if f"nplconf:shop/{pod}:" in line)
        return int(rule.split("--dport ")[1].split()[0])
