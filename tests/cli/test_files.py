"""What `--out` does to what is at that place already."""

import os
from pathlib import Path

import pytest
from seams import FakeCluster, FakeNode
from worlds import NODE, cluster, node, pod, service

from nplconf.cli import plan as plan_command
from nplconf.cli.files import write_output
from nplconf.errors import PermissionDeniedError
from nplconf.plan.state import State
from nplconf.reconcile import review
from nplconf.settings import Settings


def test_a_file_that_says_the_same_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_output(str(out), "a\n")
    before = out.stat()
    assert not write_output(str(out), "a\n")
    assert out.stat() == before


def test_a_link_stays_and_its_file_is_replaced_in_one_step_with_its_mode(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    before = (tmp_path / "file").stat()
    write_output(str(tmp_path / "link"), "new")
    after = (tmp_path / "file").stat()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    assert after.st_ino != before.st_ino
    assert after.st_mode == before.st_mode


def test_what_is_no_file_is_written_to_and_stays() -> None:
    reader, writer = os.pipe()
    write_output(f"/proc/self/fd/{writer}", "text")
    os.close(writer)
    assert os.read(reader, 100) == b"text"
    os.close(reader)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(PermissionDeniedError, match=r"none/out: cannot be written"):
        write_output(str(tmp_path / "none" / "out"), "text")
    with pytest.raises(UnicodeEncodeError):
        write_output(str(tmp_path / "out"), "\ud800")
    assert list(tmp_path.iterdir()) == []


def test_no_plan_is_saved_from_the_state_of_another_cluster(tmp_path: Path) -> None:
    journal: list[str] = []
    here, settings, out = FakeNode(journal), Settings(node=NODE), tmp_path / "plan.yaml"

    def reviewed(identity: str) -> None:
        found = FakeCluster(cluster(node(), pod(), service(), identity=identity), journal)
        plan_command.save(review(found, here, settings).decision, str(out))

    here.state = State(cluster="ours")
    reviewed("another")
    assert not out.exists()
    reviewed("ours")
    assert "name: web-0" in out.read_text()
