"""Files that other programs read."""

import contextlib
import os
import select
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from pytest_mock import MockerFixture

from nplconf.files import writing
from nplconf.files.writing import put, replace


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_in_one_step_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("old")
    path.chmod(0o600)
    with path.open() as reader:
        replace(path, b"new")
        assert reader.read() == "old", "who had it open reads the old file to its end"
    assert (path.read_text(), mode(path)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_requested_mode_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "nplconf.prom"
    path.write_text("old")
    path.chmod(0o600)
    replace(path, b"new", mode=0o644)
    assert mode(path) == 0o644


def test_a_symlink_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to("there/file")
    replace(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "new"


@pytest.mark.kernel
def test_a_device_is_written_to_and_stays_a_device(tmp_path: Path) -> None:
    device = tmp_path / "null"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    replace(device, b"new")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert list(tmp_path.iterdir()) == [device]


def test_standard_output_is_written_to(tmp_path: Path) -> None:
    code = "from pathlib import Path; from nplconf.files.writing import replace; replace(Path('/dev/stdout'), b'new')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "new"
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.timeout(10)
def test_a_fifo_without_reader_is_an_error_and_one_with_a_reader_is_written_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="No such device"):
        replace(fifo, b"new")
    found: list[bytes] = []
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    with os.fdopen(reading, "rb") as file:

        def read() -> None:
            select.select([file], [], [])  # before the writer has come a read would be at the end already
            found.append(file.read())

        reader = threading.Thread(target=read)
        # more than a pipe takes at once
        writer = threading.Thread(target=replace, args=(fifo, b"x" * 200_000))
        writer.start()
        reader.start()
        for thread in (writer, reader):
            thread.join()
    assert len(found[0]) == 200_000


def test_files_of_killed_runs_are_removed_and_those_of_live_runs_stay(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as other:
        goes_on, killed = (tmp_path / f".cluster.json.{pid}.nplconf" for pid in (other.pid, _ended()))
        theirs = tmp_path / ".cluster.json.1234"
        for file in (goes_on, killed, theirs):
            file.write_text("half")
        replace(path, b"new")
        assert set(tmp_path.iterdir()) == {path, goes_on, theirs}
        other.kill()


def _ended() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen(["sleep", "60"]) as child:
        child.send_signal(signal.SIGKILL)
        return child.pid


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(OSError, match="No space"):
        replace(path, b"new", durable=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_the_longest_file_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    replace(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_directory_is_looked_through_once_however_many_files_are_written_there(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    look = mocker.spy(Path, "iterdir")
    for number in range(3):
        replace(tmp_path / f"worker-{number}.yaml", b"plan")
    assert look.call_count == 1


# --- links, and directories of others --------------------------------------------------------------------------------

OTHER = 65_534
"""The user nobody."""


class Trap(NamedTuple):
    """A path that leads over a link to a file of root's, which must stay as it is."""

    path: Path
    target: Path


def _link(tmp_path: Path, kind: str) -> Trap:
    """A link of each kind that root must not follow."""
    safe, place = tmp_path / "safe", tmp_path / "place"
    for directory in (safe, place):
        directory.mkdir()
    target = safe / "precious"
    target.write_text("root's")
    target.chmod(0o600)
    path = place / "precious"
    if kind == "a link that another user made":
        path.symlink_to(target)
        os.lchown(path, OTHER, OTHER)
    elif kind == "a link in the directory of another user":
        path.symlink_to(target)
        os.chown(place, OTHER, OTHER)
    elif kind == "a link that leads to a link of another user":
        path.symlink_to("second")
        (place / "second").symlink_to(target)
        os.lchown(place / "second", OTHER, OTHER)
    elif kind == "a directory that is a link of another user":
        (place / "inside").symlink_to(safe)
        os.lchown(place / "inside", OTHER, OTHER)
        path = place / "inside" / "precious"
    elif kind == "a link to what is not there yet":
        path.symlink_to(safe / "new")
        os.chown(place, OTHER, OTHER)
    return Trap(path, target)


LINKS = [
    "a link that another user made",
    "a link in the directory of another user",
    "a link that leads to a link of another user",
    "a directory that is a link of another user",
    "a link to what is not there yet",
]


def _untouched(trap: Trap) -> bool:
    return (trap.target.read_text(), mode(trap.target)) == ("root's", 0o600) and list(trap.target.parent.iterdir()) == [
        trap.target
    ]


@pytest.mark.kernel
@pytest.mark.parametrize("kind", LINKS)
def test_root_follows_no_link_that_another_user_controls(tmp_path: Path, kind: str) -> None:
    trap = _link(tmp_path, kind)
    with pytest.raises(OSError, match=f"root does not follow the link .*: user {OTHER} controls it"):
        replace(trap.path, b"new", mode=0o644)
    assert _untouched(trap)


@pytest.mark.kernel
@pytest.mark.parametrize("kind", LINKS)
def test_a_file_of_nplconf_replaces_a_link_and_never_follows_one(tmp_path: Path, kind: str) -> None:
    trap = _link(tmp_path, kind)
    with contextlib.suppress(OSError):
        put(trap.path, b"new", 0o644)
        assert (trap.path.is_symlink(), trap.path.read_bytes(), mode(trap.path)) == (False, b"new", 0o644)
        assert trap.path.owner() == "root"
    assert _untouched(trap)


def test_links_of_the_user_who_runs_are_followed_wherever_they_are_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "absolute").symlink_to(tmp_path / "real")
    (tmp_path / "relative").symlink_to("absolute/deep/../deep")
    (tmp_path / "real" / "deep" / "file").symlink_to("../end")
    replace(tmp_path / "relative" / "file", b"new")
    assert (tmp_path / "real" / "end").read_bytes() == b"new"
    put(tmp_path / "relative" / "own", b"own", 0o600)
    assert (tmp_path / "real" / "deep" / "own").read_bytes() == b"own"


def test_a_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    replace(Path("plan.yaml"), b"new")
    replace(Path("./../") / tmp_path.name / "other.yaml", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"plan.yaml", "other.yaml"}


def test_links_in_a_circle_and_paths_that_are_directories_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        replace(tmp_path / "a", b"new")
    for directory in (tmp_path, tmp_path / "..", Path("/"), Path()):
        with pytest.raises(IsADirectoryError):
            replace(directory, b"new")


@pytest.mark.kernel
def test_a_directory_that_becomes_a_link_meanwhile_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe, place, moved = (tmp_path / name for name in ("safe", "place", "moved"))
    safe.mkdir()
    place.mkdir()
    os.chown(place, OTHER, OTHER)
    real = os.lstat

    def swapped(name: str, *, dir_fd: int) -> os.stat_result:
        found = real(name, dir_fd=dir_fd)
        if name == "place":
            place.rename(moved)
            place.symlink_to(safe)
        return found

    monkeypatch.setattr(os, "lstat", swapped)
    with pytest.raises(NotADirectoryError):
        replace(place / "file", b"new")
    assert list(safe.iterdir()) == []


@pytest.mark.kernel
def test_the_mode_of_a_program_that_changes_the_user_is_not_given_to_a_text(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("old")
    path.chmod(0o4755)
    replace(path, b"new")
    assert mode(path) == 0o755


@pytest.mark.kernel
def test_a_file_of_nplconf_gets_the_owner_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    os.chown(path, OTHER, OTHER)
    path.chmod(0o666)
    put(path, b"new", 0o600)
    assert (path.owner(), path.group(), mode(path)) == ("root", "root", 0o600)


def test_a_file_of_nplconf_is_on_the_disk_with_its_name(tmp_path: Path, mocker: MockerFixture) -> None:
    sync = mocker.spy(os, "fsync")
    put(tmp_path / "state.json", b"new", 0o600)
    assert sync.call_count == 2, "the file, then its directory"


def test_a_file_that_need_not_survive_a_power_failure_does_not_wait_for_the_disk(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    sync = mocker.spy(os, "fsync")
    put(tmp_path / "state.json", b"new", 0o600, durable=False)
    assert (sync.call_count, (tmp_path / "state.json").read_bytes()) == (0, b"new")


def test_what_a_killed_run_left_can_be_swept_without_writing(tmp_path: Path) -> None:
    (tmp_path / f".state.json.{_ended()}.nplconf").write_text("half")
    writing.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    writing.sweep(tmp_path / "missing")
