"""A file as the cluster: annotations are written back."""

import json
import os
import stat
from pathlib import Path

import pytest
import worlds
import yaml
from worlds import annotations
from worlds import read_objects as read
from worlds import write_objects as write

from nplconf.cluster.file.dump import FileCluster
from nplconf.cluster.file.merge_patch import ANNOTATIONS_BYTES
from nplconf.model import ANNOTATION, Failure, Patch

WORLD = worlds.raw_list(worlds.raw_node(), worlds.raw_pod(), worlds.raw_service())
TEXT = '[{"podPort":8080}]'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cluster.yaml"


def opened(*files: Path, write_back: Path | None = None) -> FileCluster:
    return FileCluster([str(f) for f in files], str(write_back) if write_back else None)


def patch(text: str | None = TEXT, name: str = "web-0", uid: str | None = None) -> Patch:
    return Patch(worlds.ref(name, uid=uid), text)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_an_annotation_is_written_and_removed_and_nothing_else_changes(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"cluster.{suffix}", WORLD)
    cluster = opened(path, write_back=path)
    cluster.snapshot(worlds.NODE)
    assert cluster.patch([patch()]) == ()
    changed = read(path)[0]
    assert annotations(path) == {"web-0": TEXT}
    assert cluster.snapshot(worlds.NODE).pods[0].annotation == TEXT
    assert cluster.patch([patch(None)]) == ()
    assert read(path) == [WORLD]
    del changed["items"][1]["metadata"]["annotations"]
    assert changed == WORLD


def test_other_annotations_stay(path: Path) -> None:
    write(path, worlds.raw_list(worlds.raw_pod(annotations={"a": "1", ANNOTATION: "old", "z": "2"})))
    assert opened(path, write_back=path).patch([patch(None)]) == ()
    assert read(path)[0]["items"][0]["metadata"]["annotations"] == {"a": "1", "z": "2"}


def test_withdrawing_and_publishing_are_two_writes_of_one_file(path: Path) -> None:
    pods = [worlds.raw_pod(f"web-{i}", annotations={ANNOTATION: "old"}) for i in range(3)]
    cluster = opened(write(path, worlds.raw_list(*pods)), write_back=path)
    assert cluster.patch([patch(None, "web-0")]) == ()
    assert cluster.patch([patch(TEXT, "web-1")]) == ()
    assert annotations(path) == {"web-0": None, "web-1": TEXT, "web-2": "old"}


def test_without_write_back_a_patch_goes_nowhere(path: Path) -> None:
    cluster = opened(write(path, WORLD))
    assert cluster.patch([patch(), patch(name="gone")]) == ()
    assert read(path) == [WORLD]


def same(before: os.stat_result, path: Path) -> bool:
    after = path.stat()
    return (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_file_is_not_touched_without_a_change(path: Path, tmp_path: Path) -> None:
    write(path, worlds.raw_list(worlds.raw_pod(annotations={ANNOTATION: TEXT})))
    before = path.stat()
    cluster = opened(path, write_back=path)
    assert cluster.patch([]) == ()
    assert cluster.patch([patch(TEXT)]) == ()
    assert same(before, path)
    other = tmp_path / "other.yaml"
    assert opened(path, write_back=other).patch([]) == ()
    assert not other.exists()


def test_a_pod_that_was_created_again_is_not_annotated(path: Path) -> None:
    before = write(path, WORLD).stat()
    (failure,) = opened(path, write_back=path).patch([patch(uid="old")])
    assert (failure.step, failure.subject) == ("publish", "shop/web-0")
    assert "uid" in failure.message
    assert same(before, path)


def test_one_refused_patch_does_not_keep_the_others_from_being_written(path: Path) -> None:
    write(path, WORLD)
    failures = opened(path, write_back=path).patch([patch(name="gone"), patch()])
    assert failures == (Failure("publish", "shop/gone", "no such Pod in the file"),)
    assert annotations(path) == {"web-0": TEXT}


def test_annotations_that_are_too_large_together_are_refused(path: Path) -> None:
    room = ANNOTATIONS_BYTES - len(ANNOTATION) - len("key") - 2 * 5
    write(path, worlds.raw_list(worlds.raw_pod(annotations={"key": "\u00e4" * 5})))
    cluster = opened(path, write_back=path)
    (failure,) = cluster.patch([patch("x" * (room + 1))])
    assert "metadata.annotations" in failure.message
    assert cluster.patch([patch("x" * room)]) == ()


@pytest.mark.parametrize("annotated", [None, [], "x", {}])
def test_annotations_that_are_no_mapping_or_empty_become_one(path: Path, annotated: object) -> None:
    pod = worlds.raw_pod()
    pod["metadata"]["annotations"] = annotated
    cluster = opened(write(path, worlds.raw_list(pod)), write_back=path)
    assert cluster.patch([patch()]) == ()
    assert read(path)[0]["items"][0]["metadata"]["annotations"] == {ANNOTATION: TEXT}
    assert cluster.patch([patch(None)]) == ()
    assert "annotations" not in read(path)[0]["items"][0]["metadata"]


def test_a_manifest_without_uid_and_namespace_is_annotated_by_its_name(path: Path) -> None:
    pod = worlds.raw_pod()
    del pod["metadata"]["uid"], pod["metadata"]["namespace"]
    cluster = opened(write(path, pod), write_back=path)
    ref = cluster.snapshot(worlds.NODE).pods[0].ref
    assert cluster.patch([Patch(ref, TEXT)]) == ()
    assert annotations(path) == {"web-0": TEXT}
    assert "uid" not in read(path)[0]["metadata"]


def test_several_documents_stay_several(path: Path) -> None:
    write(path, *WORLD["items"])
    assert opened(path, write_back=path).patch([patch()]) == ()
    assert [d["kind"] for d in read(path)] == ["Node", "Pod", "Service"]
    assert annotations(path) == {"web-0": TEXT}


def test_pods_that_share_values_by_alias_are_annotated_each_for_itself(path: Path) -> None:
    shared = {"a": "1"}
    pods = [worlds.raw_pod(f"web-{i}") for i in range(2)]
    for pod in pods:
        pod["metadata"]["annotations"] = shared
    assert "*id" in write(path, worlds.raw_list(*pods)).read_text()
    assert opened(path, write_back=path).patch([patch(name="web-1")]) == ()
    assert annotations(path) == {"web-0": None, "web-1": TEXT}


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        (json.dumps(WORLD), ('{"apiVersion":"v1"', '"items":[{')),
        (json.dumps(WORLD, indent=2), ('{\n    "apiVersion": "v1"', '"items": [\n')),
        (yaml.safe_dump(WORLD), ("apiVersion: v1\nitems:\n- ", "\nkind: List\n")),
    ],
)
def test_the_format_stays(path: Path, text: str, marks: tuple[str, ...]) -> None:
    path.write_text(text)
    assert opened(path, write_back=path).patch([patch()]) == ()
    assert all(mark in path.read_text() for mark in marks)


def test_strings_that_look_like_other_values_stay_strings(path: Path) -> None:
    tricky = {"a": "yes", "b": "061000", "c": "1:30", "d": "true", "e": "2024-01-01T00:00:00Z", "f": "12e5", "g": ""}
    write(path, worlds.raw_list(worlds.raw_pod(labels=tricky)))
    assert opened(path, write_back=path).patch([patch()]) == ()
    assert read(path)[0]["items"][0]["metadata"]["labels"] == tricky


def test_several_inputs_are_written_as_one_list_to_another_file(path: Path, tmp_path: Path) -> None:
    write(path, worlds.raw_node(), worlds.raw_pod())
    pods = [{k: v for k, v in worlds.raw_pod("api-0").items() if k != "kind"}]
    other = write(tmp_path / "other.json", {"kind": "PodList", "apiVersion": "v1", "items": pods})
    out = tmp_path / "out.yaml"
    cluster = opened(path, other, write_back=out)
    assert cluster.patch([patch(name="api-0")]) == ()
    assert cluster.patch([patch()]) == ()
    (document,) = read(out)
    assert (document["kind"], [o["kind"] for o in document["items"]]) == ("List", ["Node", "Pod", "Pod"])
    assert annotations(out) == {"web-0": TEXT, "api-0": TEXT}
    assert {p.annotation for p in opened(out).snapshot(None).pods} == {TEXT}


def test_a_write_back_file_that_is_one_of_several_inputs_keeps_its_own_objects_only(path: Path, tmp_path: Path) -> None:
    write(path, worlds.raw_list(worlds.raw_pod()))
    other = write(tmp_path / "other.yaml", worlds.raw_list(worlds.raw_node(), worlds.raw_pod("api-0")))
    failures = opened(other, path, write_back=path).patch([patch(), patch(name="api-0")])
    assert [f.subject for f in failures] == ["shop/api-0"]
    assert annotations(path) == {"web-0": TEXT}
    assert annotations(other) == {"api-0": None}


def test_another_runs_annotations_are_not_undone(path: Path) -> None:
    write(path, worlds.raw_list(worlds.raw_pod("web-0"), worlds.raw_pod("web-1", on="worker-2")))
    ours, theirs = opened(path, write_back=path), opened(path, write_back=path)
    ours.snapshot("worker-1")
    theirs.snapshot("worker-2")
    assert ours.patch([patch(name="web-0")]) == ()
    assert theirs.patch([patch(name="web-1")]) == ()
    assert annotations(path) == {"web-0": TEXT, "web-1": TEXT}


def test_the_file_is_replaced_in_one_step_with_its_mode_and_owner(path: Path) -> None:
    write(path, WORLD)
    path.chmod(0o640)
    os.chown(path, 65534, 65534)
    before = path.stat()
    with path.open() as reader:
        assert opened(path, write_back=path).patch([patch()]) == ()
        assert reader.read() == yaml.safe_dump_all([WORLD]), "who had it open reads the old file to its end"
    after = path.stat()
    assert after.st_ino != before.st_ino
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o640, 65534, 65534)
    assert list(path.parent.iterdir()) == [path], "no temporary file is left"


def test_a_symlink_stays_and_its_target_is_replaced(path: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = write(tmp_path / "there" / "real.yaml", WORLD)
    path.symlink_to(target)
    assert opened(path, write_back=path).patch([patch()]) == ()
    assert path.is_symlink()
    assert annotations(target) == {"web-0": TEXT}


@pytest.mark.kernel
def test_a_link_of_another_user_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "real.yaml", WORLD)
    before = target.read_bytes()
    path.symlink_to(target)
    os.lchown(path, 65_534, 65_534)
    (failure,) = opened(target, write_back=path).patch([patch()])
    assert "root does not follow the link" in failure.message
    assert target.read_bytes() == before


def test_a_write_back_file_that_cannot_be_written_is_a_failure_of_each_patch(path: Path, tmp_path: Path) -> None:
    write(path, WORLD)
    for target in (tmp_path, tmp_path / "missing" / "out.yaml", path / "x", Path("/proc/nplconf.yaml")):
        failures = opened(path, write_back=target).patch([patch(), patch(name="other")])
        assert [f.subject for f in failures] == ["shop/web-0", "shop/other"]
        assert all(str(target) in f.message for f in failures)
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_failed_is_not_remembered_as_done(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = opened(write(path, WORLD), write_back=path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        (failure,) = cluster.patch([patch()])
    assert failure.message.endswith("No space left on device")
    assert read(path) == [WORLD]
    assert list(path.parent.iterdir()) == [path]
    assert cluster.patch([patch()]) == ()
    assert annotations(path) == {"web-0": TEXT}


def test_an_input_that_is_gone_when_it_is_to_be_patched_is_a_failure(path: Path) -> None:
    cluster = opened(write(path, WORLD), write_back=path)
    cluster.snapshot(worlds.NODE)
    path.unlink()
    (failure,) = cluster.patch([patch()])
    assert "No such file" in failure.message


def test_a_nesting_that_can_be_read_but_not_written_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    deep = "\n".join(f"a{i}: &a{i} {'[' * 150}{f'*a{i - 1}' if i else ''}{']' * 150}" for i in range(20))
    path.write_text(f"{yaml.safe_dump(worlds.raw_pod())}---\nkind: ConfigMap\n{deep}\n")
    cluster = opened(path, write_back=path)
    assert len(cluster.snapshot(None).pods) == 1
    assert len(cluster.patch([patch()])) == 1
