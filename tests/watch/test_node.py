"""What watch mode stores of a node between two runs, and when it writes the state file."""

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import worlds
from seams import EMPTY
from watchjob import FiledNode, WatchedWorld, served

from nplconf.model import FAMILIES
from nplconf.plan.state import Loaded, State
from nplconf.rules import Reading
from nplconf.rules.antrea import Antrea
from nplconf.rules.foreign import ForeignRule
from nplconf.rules.iptables import rule
from nplconf.watch.node import Known, RememberedNode


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedWorld:
    return served(tmp_path, monkeypatch)


# --- what is kept ----------------------------------------------------------------------------------------------------


def has_no_rule(known: Known) -> None:
    known.reading = Reading(dict.fromkeys(FAMILIES, EMPTY))


def has_a_foreign_rule(known: Known) -> None:
    number = number_of(known)
    known.foreign = (ForeignRule("IPv4", "tcp", number, number, "PREROUTING", "a rule of others"),)


def has_an_agent(known: Known) -> None:
    known.antrea = Antrea(processes=("antrea-agent[1]",))


def has_rules_in_legacy(known: Known) -> None:
    known.leftovers = {"iptables-legacy": ("IPv4",)}


def has_another_clusters_state(known: Known) -> None:
    assert known.loaded
    known.loaded = Loaded(replace(known.loaded.state, cluster="another", node_uid="another"), known.loaded.text)


def number_of(known: Known) -> int:
    assert known.loaded
    assert known.loaded.state.plan
    return known.loaded.state.plan.mappings[0].node_port


CORRUPTIONS = {
    "reading": has_no_rule,
    "foreign": has_a_foreign_rule,
    "antrea": has_an_agent,
    "leftovers": has_rules_in_legacy,
    "loaded": has_another_clusters_state,
}


def test_each_kept_fact_has_a_corruption() -> None:
    assert {one.name for one in fields(Known)} == set(CORRUPTIONS)


@pytest.mark.parametrize("fact", CORRUPTIONS)
def test_a_fact_that_is_wrong_is_right_again_at_the_next_resync(world: WatchedWorld, fact: str) -> None:
    numbers, annotation = world.node.numbers(), world.annotation()
    CORRUPTIONS[fact](world.job._node.known)
    assert world.run("resync") == "1 mappings in place, last exit code 0"
    assert (world.node.numbers(), world.annotation()) == (numbers, annotation)
    assert world.job._node.known == Known(
        reading=world.node.read(),
        foreign=(),
        antrea=Antrea(),
        leftovers={},
        loaded=world.node.load(),
    )


@pytest.mark.parametrize("fact", CORRUPTIONS)
def test_without_a_resync_the_corruption_is_seen(world: WatchedWorld, fact: str) -> None:
    """Else the test above would show nothing."""
    before = (world.node.numbers(), world.annotation(), world.node.journal)
    CORRUPTIONS[fact](world.job._node.known)
    said = world.run()
    assert (said, world.node.numbers(), world.annotation(), world.node.journal) != ("", *before)
    assert said != "1 mappings in place, last exit code 0" or world.node.journal


def test_between_resyncs_the_rules_are_not_read_and_a_change_is_known_from_its_sync(world: WatchedWorld) -> None:
    reads = world.node.reads
    world.event(worlds.raw_pod("web-1", ("10.244.3.18",)), "ADDED")
    assert world.run().startswith("2 mappings")
    assert world.run().startswith("2 mappings")
    assert world.node.reads == reads
    world.run("resync")
    assert world.node.reads == reads + 1


def test_the_state_of_another_run_makes_everything_be_read_again(world: WatchedWorld) -> None:
    reads = world.node.reads
    world.node.save(replace(world.node.state, unserved=()), "")
    world.run()
    assert world.node.reads == reads + 1


def link(file: Path) -> None:
    file.rename(file.with_suffix(".real"))
    file.symlink_to(file.with_suffix(".real"))


CHANGED: dict[str, Callable[[Path], object]] = {
    "edited": lambda file: file.write_text(file.read_text() + "x"),
    "writable by others": lambda file: file.chmod(0o666),
    "a link": link,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_state_file_that_somebody_changed_is_read_again(
    world: WatchedWorld, change: Callable[[Path], object]
) -> None:
    world.run()
    reads = world.node.reads
    world.run()
    assert world.node.reads == reads
    change(world.node.file)
    world.run()
    assert world.node.reads == reads + 1


# --- the state file --------------------------------------------------------------------------------------------------


def saves(world: WatchedWorld) -> list[str]:
    return [line for line in world.journal if line.startswith(("save", "write", "patch"))]


def test_a_new_number_is_saved_before_its_rule_and_the_end_of_the_run_after_its_events(world: WatchedWorld) -> None:
    world.event(worlds.raw_pod("web-1", ("10.244.3.18",)), "ADDED")
    world.run()
    kinds = [line.split()[0:2] if line.startswith("save") else line.split()[0] for line in saves(world)]
    assert kinds == [["save", "writing"], "write", "patch", ["save"]]
    assert not world.node.state.writing
    assert any("web-1" in topic for topic in world.node.state.announced)


def test_a_run_without_a_change_writes_nothing(world: WatchedWorld) -> None:
    world.run("resync")
    assert saves(world) == []


def test_a_run_that_fails_half_way_leaves_what_it_saved(world: WatchedWorld) -> None:
    def fail() -> None:
        raise RuntimeError("killed")

    world.node.before_write = fail
    world.event(worlds.raw_pod("web-1", ("10.244.3.18",)), "ADDED")
    assert world.run() == "the last run failed"
    assert world.node.state.writing
    world.node.before_write = lambda: None
    assert world.run() == "2 mappings in place, last exit code 0"
    assert "forget everything" in world.journal
    assert not world.node.state.writing


def test_a_disk_that_is_full_at_the_end_of_a_run_degrades_it(world: WatchedWorld) -> None:
    def fill() -> None:
        world.node.unwritable = True

    world.node.before_write = fill
    world.event(worlds.raw_pod("web-1", ("10.244.3.18",)), "ADDED")
    assert world.run() == "2 mappings in place, last exit code 5"
    world.node.unwritable, world.node.before_write = False, lambda: None
    assert world.run() == "2 mappings in place, last exit code 0"
    assert not world.node.state.writing


def test_outside_of_a_run_every_state_is_written(tmp_path: Path) -> None:
    node = FiledNode([], file=tmp_path / "state.json")
    kept = RememberedNode(node, node.file)
    for waiting in ("a", "b"):
        kept.save(State(waiting=(waiting,)), "")
        assert node.state.waiting == (waiting,)
    assert kept.end_run() is None


# --- caches ----------------------------------------------------------------------------------------------------------

SMALL = 2048
"""Entries that a cache may keep for ever."""


def large_caches() -> list[Any]:
    """The caches of functions that a module has, unless they are small."""
    modules = [module for name, module in sys.modules.items() if name.startswith("nplconf.")]
    found = [value for module in modules for value in vars(module).values() if hasattr(value, "cache_parameters")]
    return [cached for cached in found if (cached.cache_parameters()["maxsize"] or SMALL) > SMALL]


def test_caches_that_grow_with_each_rule_and_address_are_cleared(world: WatchedWorld) -> None:
    world.event(worlds.raw_pod("web-1", ("10.244.3.18", "fd00::18")), "ADDED")
    world.run("resync")
    rule.parse("-p tcp -m tcp --dport 61000 -j RETURN")
    assert len(large_caches()) >= 5
    assert any(cached.cache_info().currsize for cached in large_caches())
    world.job.clear_caches()
    assert [cached.cache_info().currsize for cached in large_caches()] == [0] * len(large_caches())
