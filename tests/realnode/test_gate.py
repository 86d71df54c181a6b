"""Pods with the readiness gate on a real node: unready until they are published.

Their rollouts are in test_package.py (timer) and test_daemonset.py (watch mode).
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import rollouts
from kubenode import KubeNode, condition
from kubenpl import Way, Workload

from nplconf.install.units import MODES

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("way")]


@contextlib.contextmanager
def stopped(node: KubeNode, unit: str) -> Iterator[None]:
    """Keep a unit of nplconf stopped until the body ends."""
    node.run("systemctl", "stop", unit)
    try:
        yield
    finally:
        node.run("systemctl", "start", unit)


def test_a_pod_is_ready_only_once_it_is_published(way: Way, node: KubeNode, namespace: str) -> None:
    web = rollouts.gated(node, namespace)
    web.wait_published(2)
    old = set(web.entries())
    with stopped(node, MODES[way.manner]):
        rollouts.roll_out(web, "2")
        node.wait(lambda: any(condition(raw, "ContainersReady") for raw in new(web, old)), "ready containers")
        assert not any(condition(raw, "Ready") for raw in new(web, old))
        assert old <= set(web.entries()), "the rollout waits"
    node.wait(lambda: set(web.entries()).isdisjoint(old), "the rollout to end")
    web.wait_published(2)


def new(workload: Workload, old: set[str]) -> list[dict[str, Any]]:
    """Return the Pods of the rollout."""
    return [raw for raw in workload.pods() if raw["metadata"]["name"] not in old]
