"""Files that others read."""

import os
import select
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from nplconf.files.writing import replace


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


def test_a_mode_that_is_asked_for_is_had_whatever_was_there(tmp_path: Path) -> None:
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
def test_a_fifo_that_nobody_reads_is_an_error_and_one_that_is_read_is_written_to(tmp_path: Path) -> None:
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


def test_what_a_killed_run_left_goes_and_what_another_one_writes_stays(tmp_path: Path) -> None:
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


def test_the_longest_name_that_a_file_can_have_is_none_too_long(tmp_path: Path) -> None:
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
