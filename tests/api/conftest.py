"""One control plane for all tests of this directory, with the permissions of the examples, and one area per test."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import apisite
import area as areas
import faultproxy
import kube
import pytest
from watching import Driven

from nplconf.cluster.api import transport
from nplconf.cluster.api.client import ApiCluster


@pytest.fixture(scope="package")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kube.ControlPlane]:
    """A real API server; building it, the first time, takes minutes and says so."""
    with kube.running(tmp_path_factory.mktemp("plane")) as found:
        areas.install(found, "rbac.yaml")
        areas.install(found, "reader.yaml")
        areas.install(found, "policies.yaml", areas.WRITER_POLICIES)
        areas.install(found, "policies-kubelet.yaml", areas.KUBELET_POLICIES)
        areas.install(found, "policies-strict.yaml", areas.STRICT_POLICIES)
        areas.wait_for_policies(found)
        yield found


@pytest.fixture
def area(plane: kube.ControlPlane) -> areas.Area:
    return areas.Area(plane)


@pytest.fixture
def guarded(plane: kube.ControlPlane) -> areas.Area:
    """A area in which the admission policies hold."""
    return areas.Area(plane, areas.WRITER_POLICIES)


@pytest.fixture(scope="package")
def shared_proxy(plane: kube.ControlPlane) -> Iterator[faultproxy.Proxy]:
    with faultproxy.Proxy(plane) as found:
        yield found


@pytest.fixture
def proxy(shared_proxy: faultproxy.Proxy) -> Iterator[faultproxy.Proxy]:
    """Yield a proxy that passes everything on until a test sets a fault."""
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
def node(area: areas.Area, tmp_path: Path, driven: Driven) -> Iterator[apisite.Site]:
    """A node on which nplconf runs as a user runs it, against the real API server, with real iptables."""
    with apisite.site(tmp_path, "nft", area, driven) as found:
        yield found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What judges all the others comes last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
