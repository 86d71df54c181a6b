"""What fails during the day of a node that `churn` plays: each failure lasts as long as its block."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import faultproxy
from faultproxy import Answer, Request, Upstream

if TYPE_CHECKING:
    from bench.churn import Node

DAY = 86_400.0
"""Seconds."""


@contextlib.contextmanager
def killed(node: "Node") -> Iterator[None]:
    """The process is killed, and is started again a moment later."""
    node.stop()
    time.sleep(node.dice.random() * node.seconds / 4)
    node.start()
    yield


@contextlib.contextmanager
def cut(node: "Node") -> Iterator[None]:
    """All watches end."""
    node.proxy.cut_streams()
    yield


@contextlib.contextmanager
def failing(node: "Node", fault: faultproxy.Fault) -> Iterator[None]:
    """Each request gets this response."""
    node.proxy.fail(fault, times=1 << 30)
    node.proxy.cut_streams()
    yield
    node.proxy.heal()


def unavailable(node: "Node") -> AbstractContextManager[None]:
    """The API server is busy."""
    return failing(node, faultproxy.answers(503))


def expired(node: "Node") -> AbstractContextManager[None]:
    """The server has no events since the last known one."""
    gone = faultproxy.status(410, "Expired")

    async def act(request: Request, upstream: Upstream) -> Answer | None:
        return await (gone(request, upstream) if "watch=1" in request.path else upstream())

    return failing(node, act)


@contextlib.contextmanager
def packets(node: "Node", verdict: str) -> Iterator[None]:
    """The packets to the API server meet a firewall."""
    commands = ("add table inet outage", "add chain inet outage in { type filter hook input priority 0; }")
    for line in (*commands, f"add rule inet outage in tcp dport {node.proxy.port} {verdict}"):
        assert node.served.run("nft", line).returncode == 0
    yield
    node.served.run("nft", "delete table inet outage")


def refused(node: "Node") -> AbstractContextManager[None]:
    """Connections to the API server are reset, as where no process listens."""
    node.proxy.cut_streams()
    return packets(node, "reject with tcp reset")


def silent(node: "Node") -> AbstractContextManager[None]:
    """The way to the API server is broken."""
    return packets(node, "drop")


@contextlib.contextmanager
def killed_alone(node: "Node") -> Iterator[None]:
    """The process is killed and started again while the API server refuses connections."""
    with refused(node), killed(node):
        yield


@contextlib.contextmanager
def jumped(node: "Node") -> Iterator[None]:
    """The clocks jump, forward or back."""
    node.set_clocks(node.dice.random() * DAY)
    yield


@contextlib.contextmanager
def flushed(node: "Node") -> Iterator[None]:
    """Another program removes all rules."""
    node.served.run("nft", "flush", "ruleset")
    yield


Failure = Callable[["Node"], AbstractContextManager[None]]
INTERRUPTIONS: tuple[Failure, ...] = (killed, killed_alone, cut, unavailable, expired, refused, silent)
"""After each of them all three watches are opened again."""
FAILURES: tuple[Failure, ...] = (*INTERRUPTIONS, jumped, flushed)
