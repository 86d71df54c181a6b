"""Results that go to files: what is replaced, what is only written to, what is left behind."""

import os
from pathlib import Path

import pytest

from nplconf.cli.files import write_output
from nplconf.errors import PermissionDeniedError


def test_a_file_is_replaced_only_when_it_says_something_else(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    assert write_output(str(path), "a\n")
    before = path.stat()
    assert not write_output(str(path), "a\n")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert write_output(str(path), "b\n")
    assert path.stat().st_ino != before.st_ino


def test_through_a_link_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("plan.yaml")
    for text in ("a\n", "b\n"):
        assert write_output(str(tmp_path / "link"), text)
        assert (tmp_path / "plan.yaml").read_text() == text
    assert (tmp_path / "link").is_symlink()


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert write_output(str(path), "a\n")
    assert os.read(reader, 10) == b"a\n"
    os.close(reader)
    assert path.is_fifo()


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").mkdir()
    with pytest.raises(PermissionDeniedError, match=r"plan\.yaml: cannot be written"):
        write_output(str(tmp_path / "plan.yaml"), "a\n")
    with pytest.raises(PermissionDeniedError, match="cannot be written"):
        write_output("/dev/full", "a\n")
    with pytest.raises(PermissionDeniedError, match="cannot be written"):
        write_output(str(tmp_path / ("x" * 256)), "a\n")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]
