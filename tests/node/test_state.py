"""The state file: its content, and faults of it."""

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_mock import MockerFixture
from worlds import mapping, plan

from nplconf.errors import BusyError, PermissionDeniedError
from nplconf.model import PodPort, RuleKey
from nplconf.node import last_success as success
from nplconf.node import state
from nplconf.node.lock import locked
from nplconf.plan.cooling import Cooling
from nplconf.plan.state import Alias, State
from nplconf.publish.denials import Denial

FULL = State(
    boot="b",
    cluster="c",
    plan=plan(mapping()),
    cooling=(Cooling(61000, PodPort("shop/a", 80), 12.5),),
    empty_seen=True,
    announced={"pod/a": "host-network"},
    addresses={"IPv4": ("10.0.0.1",)},
    writing=True,
    former_clusters=("a", "b"),
    node_uid="uid-worker-1",
    unserved=(RuleKey(61000, "IPv6", "udp"),),
    annotations={"shop/web-0": "12ab"},
    denials={"shop/web-0": Denial("12ab", 5.5, "no")},
    waiting=("shop/web-1 uid mapped",),
    unasked={"tcp/61000/IPv4 uid": 7.5},
    aliases=(Alias(RuleKey(61001, "IPv4", "udp"), PodPort("shop/a", 80), 8.5, ended=True),),
)


def test_a_full_state_leaves_nothing_at_its_default() -> None:
    assert [f.name for f in fields(State) if getattr(FULL, f.name) == getattr(State(), f.name)] == []


@pytest.mark.parametrize("kept", [State(), FULL])
def test_what_is_saved_is_loaded(tmp_path: Path, kept: State) -> None:
    text = state.save(str(tmp_path), kept, "")
    loaded = state.load(str(tmp_path))
    assert (loaded.state, loaded.text, loaded.warning) == (kept, text, "")


@given(st.lists(st.lists(st.integers(61000, 61200), unique=True), min_size=1, max_size=4))
def test_texts_of_earlier_plans_change_no_file(
    tmp_path_factory: pytest.TempPathFactory, plans: list[list[int]]
) -> None:
    """Each plan is saved and loaded, whatever was saved before."""
    directory = str(tmp_path_factory.mktemp("state"))
    for ports in plans:
        planned = State(plan=plan(*(mapping(port, pod_port=1000 + len(ports)) for port in sorted(ports))))
        state.save(directory, planned, "")
        assert state.load(directory).state == planned


def test_no_file_is_an_empty_state_without_a_warning(tmp_path: Path) -> None:
    assert state.load(str(tmp_path)).state == State()
    assert state.load(str(tmp_path)).warning == ""


def test_only_the_state_at_the_end_of_a_run_waits_for_the_disk(tmp_path: Path, mocker: MockerFixture) -> None:
    sync = mocker.spy(os, "fsync")
    begun = state.save(str(tmp_path), FULL, "")
    assert sync.call_count == 0, "it is for the next run of this boot"
    state.save(str(tmp_path), replace(FULL, writing=False), begun)
    assert sync.call_count == 2, "the file, then its directory"


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


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document."""
    yield path
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in rows:
        yield from places(inner, (*path, key))


def put(value: Any, path: tuple[Any, ...], stranger: Any) -> Any:
    if not path:
        return stranger
    value[path[0]] = put(value[path[0]], path[1:], stranger)
    return value


@pytest.mark.parametrize("stranger", [{"x": [1]}, [[["x"]]], 1.5])
@pytest.mark.parametrize("line", [1, 2])
def test_an_impossible_value_is_damage_even_with_a_right_checksum(tmp_path: Path, line: int, stranger: object) -> None:
    lines = state.save(str(tmp_path), FULL, "").splitlines()
    for path in places(json.loads(lines[line])):
        said = [*lines]
        said[line] = json.dumps(put(json.loads(lines[line]), path, stranger))
        body = f"{said[1]}\n{said[2]}\n"
        head = f'{{"version": 1, "crc32": {zlib.crc32(body.encode())}}}'
        (tmp_path / state.FILE).write_text(f"{head}\n{body}")
        loaded = state.load(str(tmp_path))
        # a point in time is any number; what a plan says of itself in its head nobody reads
        time = path[-1:] == (3,) or (path[:1] == ("denials",) and path[-1] == 1)
        time = time or (path[:1] == ("unasked",) and len(path) == 2) or (path[:1] == ("aliases",) and path[-1] == 5)
        harmless = (time and stranger == 1.5) or path in (("apiVersion",), ("kind",))
        assert loaded.state == State() or harmless, path
        assert loaded.warning or harmless, path


def test_a_file_that_other_users_can_write_is_not_trusted(tmp_path: Path) -> None:
    state.save(str(tmp_path), FULL, "")
    path = tmp_path / state.FILE
    path.chmod(0o620)
    assert "others than root can write it: user" in state.load(str(tmp_path)).warning
    path.chmod(0o644)
    assert state.load(str(tmp_path)).state == FULL


@pytest.mark.kernel
def test_a_file_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    state.save(str(tmp_path), FULL, "")
    os.chown(tmp_path / state.FILE, 65534, -1)
    loaded = state.load(str(tmp_path))
    assert loaded.state == State()
    assert "user 65534, mode 600" in loaded.warning


@pytest.mark.timeout(10)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_special_file_is_not_read_as_the_last_success(tmp_path: Path, make: object) -> None:
    make(tmp_path / success.FILE)  # type: ignore[operator]
    assert success.last(str(tmp_path)) is None


@pytest.mark.parametrize("text", ["[" * 900, "{}", '{"boot": 1, "at": "x", "when": 1}', " " * 2000 + "1"])
def test_an_invalid_entry_is_not_read_as_the_last_success(tmp_path: Path, text: str) -> None:
    (tmp_path / success.FILE).write_text(text)
    assert success.last(str(tmp_path)) is None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_a_special_file_is_not_read_as_the_state(tmp_path: Path, make: object) -> None:
    make(tmp_path / state.FILE)  # type: ignore[operator]
    assert state.load(str(tmp_path)).warning


def test_a_link_at_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / f".{state.FILE}.{os.getpid()}.nplconf").symlink_to(precious)
    state.save(str(tmp_path), FULL, "")
    assert precious.read_text() == "mine"
    assert state.load(str(tmp_path)).state == FULL


def test_the_file_is_for_root_alone(tmp_path: Path) -> None:
    state.save(str(tmp_path), FULL, "")
    assert (tmp_path / state.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("umask", [0o022, 0, 0o777])
def test_only_root_can_open_the_directory_as_others_could_lock_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        state.make_directory(str(tmp_path / "lib" / "state"))
    finally:
        os.umask(before)
    assert (tmp_path / "lib" / "state").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_created_is_permission_denied(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermissionDeniedError, match="cannot be made"):
        state.make_directory(str(tmp_path / "file" / "state"))


def test_the_second_run_waits_a_bounded_time_and_then_fails_as_busy(tmp_path: Path) -> None:
    with locked(str(tmp_path)), pytest.raises(BusyError, match="another run"), locked(str(tmp_path), wait=0.1):
        pass
    with locked(str(tmp_path), wait=0):
        pass
