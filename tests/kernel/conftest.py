"""Every test here needs a kernel, and most run once for each backend."""

from collections.abc import Iterator
from pathlib import Path

import foreign
import pytest
from netns import BACKENDS, World, world
from runs import Runs
from shims import Shims
from watching import Watched


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def driven(request: pytest.FixtureRequest) -> str:
    """What carries runs out: one_shot or watch."""
    return str(getattr(request, "param", "one_shot"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked `watch_too` also with runs of watch mode."""
    if metafunc.definition.get_closest_marker("watch_too"):
        metafunc.parametrize("driven", ("one_shot", "watch"), indirect=True)


@pytest.fixture
def node(tmp_path: Path, backend: str, driven: str) -> Iterator[World]:
    """A node and a client."""
    if driven == "one_shot":
        with world(tmp_path, backend) as made:
            yield made
        return
    with world(tmp_path, backend, Watched) as watched:
        yield watched
        watched.stop()


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
