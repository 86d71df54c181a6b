"""One control plane for all stories."""

from collections.abc import Iterator

import area as areas
import kube
import pytest


@pytest.fixture(scope="package")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kube.ControlPlane]:
    """A real API server with the rights of the examples."""
    with kube.running(tmp_path_factory.mktemp("plane")) as found:
        areas.install(found, "rbac.yaml")
        areas.install(found, "reader.yaml")
        yield found
