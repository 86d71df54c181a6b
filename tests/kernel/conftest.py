"""Every test here is of the kernel, and most are run once for each backend of iptables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import World, world
from shims import Shims


@pytest.fixture(params=["nft", "legacy"])
def backend(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def node(tmp_path: Path, backend: str) -> Iterator[World]:
    """A node and a client."""
    with world(tmp_path, backend) as made:
        yield made


@pytest.fixture
def shims(tmp_path: Path, node: World) -> Shims:
    """The node's iptables programs write down how they were called."""
    node.shims = Shims.make(tmp_path / "shims")
    return node.shims
