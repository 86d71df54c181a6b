"""The preview of a cleanup, which changes nothing."""

from dataclasses import replace

from seams import FakeCluster, FakeNode
from worlds import NODE, cluster, node, pod, service

from nplconf.errors import UnavailableError
from nplconf.run.cleanup import clean, preview
from nplconf.run.reconcile import apply
from nplconf.settings import Settings

SETTINGS = Settings(node=NODE)


class World:
    """A node with one mapping, and its cluster."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.node = FakeNode(self.journal)
        self.cluster = FakeCluster(cluster(node(), pod(), service()), self.journal)
        assert apply(self.cluster, self.node, SETTINGS).exit_code == 0
        self.journal.clear()


def test_a_preview_lists_what_cleaning_removes_and_changes_nothing() -> None:
    world = World()
    published, state = world.cluster.annotation(), world.node.state
    found = preview(world.node, world.cluster, SETTINGS)
    assert [(c.action, c.mapping.pod_port) for c in found.removals] == [("delete", 8080)]
    assert [(p.pod.name, p.annotation) for p in found.patches] == [("web-0", "[]")]
    assert (found.failures, dict(found.leftovers)) == ((), {})
    assert world.cluster.annotation() == published
    assert world.node.state == state
    assert not [entry for entry in world.journal if entry.split()[0] in ("patch", "sync", "save", "flush", "clear")]
    assert clean(world.node, world.cluster, SETTINGS) == ()
    after = preview(world.node, world.cluster, SETTINGS)
    assert (after.removals, after.patches) == ((), ())


def test_a_preview_names_what_cannot_be_read() -> None:
    world = World()
    world.cluster.error = UnavailableError("gone")
    found = preview(world.node, world.cluster, SETTINGS)
    assert [(failure.step, failure.message) for failure in found.failures] == [("annotation", "left as they are: gone")]
    assert len(found.removals) == 1


def test_a_preview_withdraws_nothing_in_another_cluster() -> None:
    world = World()
    other = replace(node(), uid="uid-other")
    world.cluster.state = replace(world.cluster.state, identity="another", nodes=(other,))
    found = preview(world.node, world.cluster, SETTINGS)
    assert found.patches == ()
    assert "another cluster" in found.failures[0].message


def test_a_preview_without_a_cluster_lists_the_rules_alone() -> None:
    world = World()
    found = preview(world.node, None, SETTINGS)
    assert (len(found.removals), found.patches, found.failures) == (1, (), ())
