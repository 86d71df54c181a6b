"""Lasting conditions are logged when they begin, and not in every run."""

from pathlib import Path

import pytest

from nplconf.node import reported, state


def test_a_condition_is_new_once_and_again_after_it_has_ended(tmp_path: Path) -> None:
    output = [reported.new(str(tmp_path), now) for now in (["a"], ["a"], ["a", "b"], ["b"], ["b", "a"], [], ["b"])]
    assert output == [("a",), (), ("b",), (), ("a",), (), ("b",)]


def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    assert reported.new(str(tmp_path), []) == ()
    assert list(tmp_path.iterdir()) == []
    reported.new(str(tmp_path), ["a"])
    before = (tmp_path / reported.FILE).stat()
    reported.new(str(tmp_path), ["a"])
    after = (tmp_path / reported.FILE).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    reported.new(str(tmp_path), [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["", "{", "{}", "7", "[" * 100_000])
def test_a_damaged_file_repeats_a_message_and_is_replaced(tmp_path: Path, damage: str) -> None:
    (tmp_path / reported.FILE).write_text(damage)
    assert reported.new(str(tmp_path), ["a"]) == ("a",)
    assert reported.new(str(tmp_path), ["a"]) == ()


def test_conditions_are_reported_again_if_the_file_cannot_be_written(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    assert reported.new(missing, ["a"]) == reported.new(missing, ["a"]) == ("a",)


def test_purging_removes_it(tmp_path: Path) -> None:
    reported.new(str(tmp_path), ["a"])
    state.remove(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
