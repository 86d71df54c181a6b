"""The state file: what it keeps, and what happens to it."""

import os
from pathlib import Path

import pytest
from worlds import mapping, plan

from nplconf.errors import BusyError, PermissionDeniedError
from nplconf.model import Cooling, PodPort
from nplconf.node import state
from nplconf.node.lock import locked
from nplconf.plan.state import State

FULL = State(
    boot="b",
    cluster="c",
    plan=plan(mapping()),
    cooling=(Cooling(61000, PodPort("shop/a", 80), 12.5),),
    empty_seen=True,
    said={"pod/a": "host-network"},
    addresses={"IPv4": ("10.0.0.1",)},
    writing=True,
)


@pytest.mark.parametrize("kept", [State(), FULL])
def test_what_is_saved_is_loaded(tmp_path: Path, kept: State) -> None:
    text = state.save(str(tmp_path), kept, "")
    loaded = state.load(str(tmp_path))
    assert (loaded.state, loaded.text, loaded.warning) == (kept, text, "")


def test_no_file_is_an_empty_state_without_a_warning(tmp_path: Path) -> None:
    assert state.load(str(tmp_path)).state == State()
    assert state.load(str(tmp_path)).warning == ""


def test_the_same_state_is_not_written_again(tmp_path: Path) -> None:
    text = state.save(str(tmp_path), FULL, "")
    before = (tmp_path / state.FILE).stat().st_ino
    state.save(str(tmp_path), FULL, text)
    assert (tmp_path / state.FILE).stat().st_ino == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace("shop", "shoq"),
        lambda text: text.replace('"version": 1', '"version": 99'),
        lambda _: "",
        lambda _: "\0" * 100,
        lambda _: "[" * 100_000,
        lambda _: "null\nnull\n",
        lambda text: text.partition("\n")[0],
    ],
)
def test_a_damaged_file_is_an_empty_state_and_a_warning_that_names_it(tmp_path: Path, damage: object) -> None:
    text = state.save(str(tmp_path), FULL, "")
    (tmp_path / state.FILE).write_text(damage(text))  # type: ignore[operator]
    loaded = state.load(str(tmp_path))
    assert loaded.state == State()
    assert str(tmp_path / state.FILE) in loaded.warning


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, make: object) -> None:
    make(tmp_path / state.FILE)  # type: ignore[operator]
    assert state.load(str(tmp_path)).warning


def test_a_link_at_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / f".{state.FILE}.new").symlink_to(precious)
    state.save(str(tmp_path), FULL, "")
    assert precious.read_text() == "mine"
    assert state.load(str(tmp_path)).state == FULL


def test_the_file_is_for_root_alone(tmp_path: Path) -> None:
    state.save(str(tmp_path), FULL, "")
    assert (tmp_path / state.FILE).stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_made_is_a_matter_of_rights(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermissionDeniedError, match="cannot be made"):
        state.make_directory(str(tmp_path / "file" / "state"))


def test_the_second_run_waits_a_bounded_time_and_then_says_busy(tmp_path: Path) -> None:
    with locked(str(tmp_path)), pytest.raises(BusyError, match="another run"), locked(str(tmp_path), wait=0.1):
        pass
    with locked(str(tmp_path), wait=0):
        pass
