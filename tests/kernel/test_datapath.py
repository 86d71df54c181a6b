"""A node whose packets bypass netfilter is not configured without --force."""

import pytest
import worlds
from netns import World, batch

pytestmark = pytest.mark.kernel


@pytest.fixture
def backend() -> str:
    return "nft"


@pytest.fixture
def bypassed(node: World) -> World:
    """A node with a Pod that a Service asks for, whose packets pass netfilter by."""
    node.write(node.routed("web", "10.244.3.1"), worlds.raw_service("web", [(80, 8080, "TCP")]))
    batch(f"-n {node.node}", "link add bpfin.cali type veth")
    return node


@pytest.mark.watch_too
def test_apply_refuses_and_changes_nothing(bypassed: World) -> None:
    done = bypassed.apply()
    assert (done.code, done.data) == (78, {})
    assert "past netfilter" in done.stderr
    assert "--force" in done.stderr
    assert bypassed.ours() == []
    assert not (bypassed.directory / "state").exists()


@pytest.mark.watch_too
def test_with_force_it_goes_on(bypassed: World) -> None:
    done = bypassed.apply("--force")
    assert done.code == 0, done.stderr
    assert done.counts == (0, 1, 0)
    assert bypassed.ours()
