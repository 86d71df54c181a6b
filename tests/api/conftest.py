"""One control plane for all tests of a session, and a corner of it for each."""

from collections.abc import Iterator

import kube
import pytest


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kube.ControlPlane]:
    """A real API server; building it, the first time, takes minutes and says so."""
    with kube.running(tmp_path_factory.mktemp("plane")) as found:
        yield found
