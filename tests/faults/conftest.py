"""A node that serves Pods, before a fault is caused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from changing import Site
from netns import world
from watching import Driven


@pytest.fixture
def node(tmp_path: Path, driven: Driven) -> Iterator[Site]:
    """web-0 is served, its number is held."""
    with world(tmp_path, "nft", Site) as site, driven(site):
        site.start_hold()
        site.serve_pod("web-0", "10.244.3.17")
        assert site.apply().counts == (0, 1, 0)
        yield site
