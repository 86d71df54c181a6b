"""One control plane for all tests of a session, with the rights of the examples, and a corner of it for each test."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import apisite
import corner as corners
import faultproxy
import kube
import pytest

from nplconf.cluster.api import transport
from nplconf.cluster.api.client import ApiCluster


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kube.ControlPlane]:
    """A real API server; building it, the first time, takes minutes and says so."""
    with kube.running(tmp_path_factory.mktemp("plane")) as found:
        corners.install(found, "rbac.yaml")
        corners.install(found, "reader.yaml")
        corners.install(found, "policies.yaml", corners.WRITER_POLICIES)
        corners.install(found, "policies-kubelet.yaml", corners.KUBELET_POLICIES)
        corners.install(found, "policies-strict.yaml", corners.STRICT_POLICIES)
        corners.wait_for_policies(found)
        yield found


@pytest.fixture
def corner(plane: kube.ControlPlane) -> corners.Corner:
    return corners.Corner(plane)


@pytest.fixture
def guarded(plane: kube.ControlPlane) -> corners.Corner:
    """A corner in which the admission policies hold."""
    return corners.Corner(plane, corners.WRITER_POLICIES)


@pytest.fixture(scope="session")
def shared_proxy(plane: kube.ControlPlane) -> Iterator[faultproxy.Proxy]:
    with faultproxy.Proxy(plane) as found:
        yield found


@pytest.fixture
def proxy(shared_proxy: faultproxy.Proxy) -> Iterator[faultproxy.Proxy]:
    """A proxy that hands everything on until it is told otherwise."""
    shared_proxy.requests.clear()
    shared_proxy.statuses.clear()
    yield shared_proxy
    shared_proxy.heal()


@pytest.fixture
def opened() -> Iterator[Callable[..., ApiCluster]]:
    """Makes the cluster that a kubeconfig names."""
    with contextlib.ExitStack() as stack:

        def make(kubeconfig: object, note: Callable[[str], None] = lambda _: None) -> ApiCluster:
            return stack.enter_context(contextlib.closing(ApiCluster(str(kubeconfig), note)))

        yield make


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is given up after half a second, all in all after two."""
    monkeypatch.setattr(transport, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr("nplconf.cluster.api.client.READ_SECONDS", 2.0)
    monkeypatch.setattr("nplconf.cluster.api.client.WRITE_SECONDS", 2.0)


@pytest.fixture
def node(corner: corners.Corner, tmp_path: Path) -> Iterator[apisite.Site]:
    """A node on which nplconf runs as a user runs it, against the real API server, with real iptables."""
    with apisite.site(tmp_path, "nft", corner) as found:
        yield found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What judges all the others comes last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
