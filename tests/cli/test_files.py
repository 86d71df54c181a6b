"""Results in files: what is replaced, what is only written to, and which temporary files remain."""

import os
from pathlib import Path

import pytest
from seams import FakeCluster, FakeNode
from worlds import NODE, cluster, node, pod, service

from nplconf.cli.commands import plan as plan_command
from nplconf.cli.files import write_output
from nplconf.errors import PermissionDeniedError
from nplconf.plan.state import State
from nplconf.run.reconcile import review
from nplconf.settings import Settings


def test_a_file_is_replaced_only_if_its_text_differs(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    assert write_output(str(path), "a\n")
    before = path.stat()
    assert not write_output(str(path), "a\n")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert write_output(str(path), "b\n")
    assert path.stat().st_ino != before.st_ino


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


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert write_output(str(path), "a\n")
    assert os.read(reader, 10) == b"a\n"
    os.close(reader)
    assert path.is_fifo()


@pytest.mark.kernel
def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("root's")
    (tmp_path / "plan.yaml").symlink_to("precious")
    os.lchown(tmp_path / "plan.yaml", 65_534, 65_534)
    with pytest.raises(PermissionDeniedError, match=r"plan\.yaml: cannot be written: root does not follow the link"):
        write_output(str(tmp_path / "plan.yaml"), "a\n")
    assert (tmp_path / "precious").read_text() == "root's"


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").mkdir()
    with pytest.raises(PermissionDeniedError, match=r"plan\.yaml: cannot be written"):
        write_output(str(tmp_path / "plan.yaml"), "a\n")
    with pytest.raises(PermissionDeniedError, match="cannot be written"):
        write_output("/dev/full", "a\n")
    with pytest.raises(PermissionDeniedError, match="cannot be written"):
        write_output(str(tmp_path / ("x" * 256)), "a\n")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


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
