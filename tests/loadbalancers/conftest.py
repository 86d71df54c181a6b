"""One control plane for all stories."""

from collections.abc import Iterator

import corner as corners
import kube
import pytest


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kube.ControlPlane]:
    """A real API server with the rights of the examples."""
    with kube.running(tmp_path_factory.mktemp("plane")) as found:
        corners.install(found, "rbac.yaml")
        corners.install(found, "reader.yaml")
        yield found
