"""A value made from files follows their changes. A broken file leaves the last good value in effect."""

import threading
from pathlib import Path

import pytest

from nplconf.watch import files
from nplconf.watch.files import LastGood, notice, signature


def test_an_edit_a_swapped_link_and_a_deletion_change_the_signature(tmp_path: Path) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    one.write_text("a")
    two.write_text("a")
    link.symlink_to(one)
    seen = {signature([str(link)])}
    one.write_text("ab")
    seen.add(signature([str(link)]))
    link.unlink()
    link.symlink_to(two)
    seen.add(signature([str(link)]))
    two.unlink()
    seen.add(signature([str(link)]))
    assert len(seen) == 4


def test_a_value_is_made_once_for_the_same_files() -> None:
    made: list[int] = []
    value: LastGood[int] = LastGood()
    for key in (1, 1, 2, 2):
        value.get(key, lambda: made.append(1) or len(made))  # type: ignore[func-returns-value]
    assert len(made) == 2


def test_while_it_cannot_be_made_the_last_good_one_counts_and_the_reason_is_known() -> None:
    def broken() -> int:
        raise ValueError("line 3")

    value: LastGood[int] = LastGood()
    with pytest.raises(ValueError, match="line 3"):
        value.get(1, broken)
    assert value.get(2, lambda: 7) == 7
    assert value.get(3, broken) == 7
    assert value.problem == "line 3"
    assert value.get(3, broken) == 7
    assert value.problem == "line 3", "it is not forgotten while the file is broken"
    assert value.get(4, lambda: 8) == 8
    assert not value.problem


def test_a_change_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PERIOD", 0.01)
    file, changed = tmp_path / "plan.yaml", threading.Event()
    file.write_text("a")
    notice(lambda: [str(file)], changed.set)
    assert not changed.wait(0.1)
    file.write_text("ab")
    assert changed.wait(5)
