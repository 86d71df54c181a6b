"""A full or read-only disk below everything that a run writes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from changing import Site
from echo import Answer
from netns import world
from watching import Driven
from worlds import annotations

pytestmark = pytest.mark.kernel
NODE_IP, CLIENT = "10.10.10.10", "10.10.10.77"


@pytest.fixture
def small(tmp_path: Path, driven: Driven) -> Iterator[Site]:
    """web-0 is served, web-1 has just come; the state, the cluster and the metrics are on a disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", str(disk)], check=True)
    try:
        with world(disk, "nft", Site) as node, driven(node):
            node.start_hold()
            node.serve_pod("web-0", "10.244.3.17")
            assert node.apply("--textfile", str(disk / "nplconf.prom")).counts == (0, 1, 0)
            published = annotations(node.cluster)["web-0"]
            node.objects[0]["metadata"]["annotations"] = {"nodeportlocal.antrea.io": published}
            node.serve_pod("web-1", "10.244.3.18")
            yield node
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(node: Site) -> None:
    with (node.directory / "fill").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def remount(node: Site, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(node.directory)], check=True)


@pytest.mark.watch_too
@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_full_disk_leaves_rules_right_old_files_whole_and_is_reported(small: Site, trouble: str) -> None:
    before = {path.name: path.read_bytes() for path in small.directory.glob("*.*") if path.is_file()}
    state = (small.directory / "state" / "state.json").read_bytes()
    if trouble == "full":
        fill(small)
    else:
        remount(small, "ro")

    applied = small.apply("--textfile", str(small.directory / "nplconf.prom"))

    why = "No space left on device" if trouble == "full" else "Read-only file system"
    assert applied.code == 5
    assert applied.counts[:2] == (1, 1)
    assert [(failure["step"], failure["subject"]) for failure in applied.data["failures"]] == [
        ("publish", "shop/web-1"),
        ("metrics", str(small.directory / "nplconf.prom")),
    ]
    assert f"cannot write {small.cluster}: {why}" in applied.data["failures"][0]["message"]
    assert f"the state file cannot be written ({why})" in applied.stderr
    assert f"nplconf.prom: the metrics cannot be written: {why}" in applied.stderr
    for pod in ("web-0", "web-1"):
        assert small.ask("client", NODE_IP, small.number(pod)) == Answer(pod, 8080, CLIENT)
    assert {name: (small.directory / name).read_bytes() for name in before} == before
    assert (small.directory / "state" / "state.json").read_bytes() == state
    assert list(small.directory.glob(".*")) == []

    if trouble == "full":
        (small.directory / "fill").unlink()
    else:
        remount(small, "rw")
    assert small.apply().counts == (2, 0, 0)
    assert f'"nodePort":{small.number("web-1")}' in str(annotations(small.cluster)["web-1"])
    assert small.json("verify").code == 0


def test_a_plan_that_cannot_be_written_is_named_and_the_old_one_stays(small: Site) -> None:
    plan = small.directory / "plan.yaml"
    plan.write_text("old")
    fill(small)
    done = small.nplconf("render", "--out", str(small.directory / "other.yaml"))
    assert (done.returncode, done.stdout) == (77, "")
    assert f"{small.directory}/other.yaml: cannot be written: No space left on device" in done.stderr
    assert not (small.directory / "other.yaml").exists()
    assert list(small.directory.glob(".*")) == []
    assert plan.read_text() == "old"
