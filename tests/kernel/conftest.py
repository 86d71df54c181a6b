"""Every test here needs a kernel, and most run once for each backend."""

from collections.abc import Iterator
from pathlib import Path

import foreign
import pytest
from netns import BACKENDS, World, world
from runs import Runs
from shims import Shims
from watching import Driven


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def node(tmp_path: Path, backend: str, driven: Driven) -> Iterator[World]:
    """A node and a client."""
    with world(tmp_path, backend) as made, driven(made):
        yield made


@pytest.fixture
def shims(tmp_path: Path, node: World) -> Shims:
    """The node's iptables programs write down how they were called."""
    node.shims = Shims.make(tmp_path / "shims")
    return node.shims


@pytest.fixture(scope="module", params=BACKENDS)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """A node with the rules of others, on which a module's tests run one after the other."""
    with world(tmp_path_factory.mktemp("runs"), request.param) as made:
        foreign.settle_in(made)
        yield Runs.on(made)
