"""A file as the cluster: reading."""

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import worlds
import yaml
from worlds import write_objects as write

from nplconf.cluster.file import formats
from nplconf.cluster.file.dump import FileCluster
from nplconf.errors import BadDataError
from nplconf.model import Patch

if TYPE_CHECKING:
    from nplconf.cluster import Cluster

WORLD = worlds.raw_list(worlds.raw_node(), worlds.raw_pod(), worlds.raw_service())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cluster.yaml"


def opened(*files: Path, write_back: Path | None = None) -> FileCluster:
    return FileCluster([str(f) for f in files], str(write_back) if write_back else None)


def test_a_file_is_a_cluster(path: Path) -> None:
    cluster: Cluster = opened(write(path, WORLD))
    found = cluster.snapshot(worlds.NODE)
    assert found == worlds.cluster(worlds.node(), worlds.pod(), worlds.service(), identity=None)


@pytest.mark.parametrize(
    "text",
    [
        yaml.safe_dump(WORLD),
        json.dumps(WORLD),
        "\ufeff \n" + json.dumps(WORLD, indent=4),
        yaml.safe_dump_all(WORLD["items"]),
        "---\n# a comment\n" + yaml.safe_dump_all([*WORLD["items"], None], explicit_start=True),
        yaml.safe_dump({**WORLD, "kind": "FooList"}),
        yaml.safe_dump_all([worlds.raw_list(*WORLD["items"][:1]), worlds.raw_list(*WORLD["items"][1:])]),
    ],
)
def test_json_yaml_lists_and_documents_read_the_same(path: Path, text: str) -> None:
    path.write_text(text)
    found = opened(path).snapshot(worlds.NODE)
    assert found == worlds.cluster(worlds.node(), worlds.pod(), worlds.service(), identity=None)


def test_the_items_of_a_typed_list_need_no_kind(path: Path) -> None:
    pod = {k: v for k, v in worlds.raw_pod().items() if k not in ("kind", "apiVersion")}
    write(path, {"kind": "PodList", "apiVersion": "v1", "items": [pod]})
    assert [p.ref.name for p in opened(path).snapshot(None).pods] == ["web-0"]


def test_several_files_and_stdin_are_one_cluster(path: Path, tmp_path: Path) -> None:
    write(path, worlds.raw_list(worlds.raw_node()))
    other = write(tmp_path / "pods.json", worlds.raw_list(worlds.raw_pod()))
    stdin = io.BytesIO(yaml.safe_dump(worlds.raw_service()).encode())
    cluster = FileCluster([str(path), "-", str(other)], None, stdin)
    expected = worlds.cluster(worlds.node(), worlds.pod(), worlds.service(), identity=None)
    assert cluster.snapshot(worlds.NODE) == expected
    assert cluster.snapshot(worlds.NODE) == expected, "stdin is read once and remembered"


def test_objects_of_other_api_groups_are_passed_over(path: Path) -> None:
    knative = {**worlds.raw_service("knative"), "apiVersion": "serving.knative.dev/v1"}
    write(path, worlds.raw_list(worlds.raw_service(), knative, {"apiVersion": "apps/v1", "kind": "Deployment"}))
    assert [s.name for s in opened(path).snapshot(None).services] == ["web"]


NAMELESS = [
    {"kind": "Pod", "metadata": found} for found in (None, 7, {}, {"name": ""}, {"name": 7}, {"generateName": "a-"})
]
UNKNOWN: list[object] = [
    *(None, 7, "x", [], {}, {"kind": 7}, {"kind": ["Pod"]}, {"kind": ""}, {"kind": "pod"}, {"kind": "Po d"}),
    *({"kind": "Pod", "apiVersion": found} for found in (None, 1, "", "v2", "V1", "a b/v1", "/v1")),
    *({**found, "kind": kind} for found in NAMELESS for kind in ("Pod", "Service", "Node")),
    {"kind": "Status", "apiVersion": "v1", "message": "Unauthorized"},
    {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": []},
    {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "web-0"}},
    {"kind": "PodList", "apiVersion": "v1"},
    {"kind": "Pod", "metadata": {"name": "a"}, "items": []},
]


@pytest.mark.parametrize("item", UNKNOWN)
@pytest.mark.parametrize("wrapped", [0, 1, 3], ids=["item", "nested item", "deeply nested item"])
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_an_item_that_is_not_understood_is_an_error_that_names_its_place(
    tmp_path: Path, item: object, wrapped: int, suffix: str
) -> None:
    for _ in range(wrapped):
        item = {"apiVersion": "v1", "kind": "List", "items": [item]}
    path = write(tmp_path / f"dump.{suffix}", worlds.raw_list(*WORLD["items"], item))  # type: ignore[arg-type]
    with pytest.raises(
        BadDataError, match=rf"^{path}: items\[3\]" + r"\.items\[0\]" * wrapped + " (is|has) "
    ) as caught:
        opened(path).snapshot(worlds.NODE)
    assert caught.value.exit_code == 65
    with pytest.raises(BadDataError):
        opened(path, write_back=path).snapshot(worlds.NODE)


@pytest.mark.parametrize("document", [item for item in UNKNOWN if isinstance(item, dict)])
def test_a_document_that_is_not_understood_is_an_error(path: Path, document: object) -> None:
    path.write_text(yaml.safe_dump_all([WORLD, document]))
    with pytest.raises(BadDataError, match=f"^{path}: "):
        opened(path).snapshot(worlds.NODE)


@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_lists_in_lists_are_flattened(tmp_path: Path, suffix: str, depth: int) -> None:
    node, pod, service = WORLD["items"]
    inner = {"kind": "PodList", "apiVersion": "v1", "items": [{k: pod[k] for k in ("metadata", "spec", "status")}]}
    for _ in range(depth):
        inner = worlds.raw_list(inner, node)
    path = write(tmp_path / f"dump.{suffix}", worlds.raw_list(service, inner))
    expected = worlds.cluster(worlds.node(), worlds.pod(), worlds.service(), identity=None)
    assert opened(path).snapshot(worlds.NODE) == expected
    cluster = opened(path, write_back=path)
    assert cluster.patch([Patch(worlds.ref(), "[]")]) == ()
    found = opened(path).snapshot(worlds.NODE)
    assert [p.annotation for p in found.pods] == ["[]"]


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_lists_nested_without_end_are_refused(tmp_path: Path, suffix: str) -> None:
    world: dict[str, Any] = WORLD
    for _ in range(50):
        world = {"apiVersion": "v1", "kind": "List", "items": [world]}
    with pytest.raises(BadDataError, match="more than 16 Lists in one another"):
        opened(write(tmp_path / f"dump.{suffix}", world)).snapshot(None)


def test_a_list_of_another_api_group_may_hold_anything(path: Path) -> None:
    denied = {"apiVersion": "example.org/v1", "kind": "DenyList", "items": ["10.0.0.1", None, {"kind": 7}]}
    deployments = {"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [{"metadata": {}}]}
    write(path, worlds.raw_list(*WORLD["items"], denied, deployments))
    assert len(opened(path).snapshot(worlds.NODE).pods) == 1


BAD = {
    "": "is empty",
    " \n\t\n": "is empty",
    "---\n": "holds no object",
    "# only a comment\n": "holds no object",
    "null\n": "holds no object",
    "~": "holds no object",
    "text": "is no Kubernetes object but text",
    "- kind: Pod\n": "is no Kubernetes object but a list",
    "[]": "is no Kubernetes object but a list",
    "7": "is no Kubernetes object but a number",
    "{}": "without a kind",
    "apiVersion: v1\nitems: []\n": "without a kind",
    "apiVersion: v1\nitems:\n- kind: Pod\n  metadata:\n    na": "without a kind",
    "apiVersion: v1\nitems:\n- kind: Pod\n  metadata:\n": "without a kind",
    "kind: 7\n": "without a kind",
    "kind: List\n": "a List whose items are nothing",
    "kind: List\nitems:\n": "a List whose items are nothing",
    "kind: PodList\nitems: null\n": "a PodList whose items are nothing",
    "items: []\nkind: Pod\n": "a Pod with items: cut off",
    "kind: List\nitems: {}\n": "a List whose items are a mapping",
    "kind: List\nitems: []\n": "no Kubernetes object at all",
    '{"kind":"List","items":[]}': "no Kubernetes object at all",
    '{"kind":"List","items":[': "line 1: not JSON",
    '{"kind":"List",\n"items":[}': "line 2: not JSON",
    '{"kind":"List","items":[]} {}': "not JSON",
    '{"kind":"List","items":[NaN]}': "NaN is no number",
    '{"kind":"List","items":[-Infinity]}': "-Infinity is no number",
    '{"kind":"List","items":[' + "9" * 5000 + "]}": "not JSON",
    '{"kind":"List","items":' + "[" * 100_000: "nested too deeply",
    '{"a":' * 100_000: "nested too deeply",
    "[" * 100_000: "nested",
    "kind: List\nitems: [*x]\n": "line 2",
    "kind: Pod\nkind: Pod\n": "line 2",
    "\x00\x01\x02": "not YAML",
}


@pytest.mark.parametrize(("text", "message"), BAD.items())
def test_a_file_that_is_no_cluster_is_an_error_that_names_it(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(BadDataError) as caught:
        opened(path).snapshot(worlds.NODE)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert caught.value.exit_code == 65


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [json.dumps(WORLD), yaml.safe_dump(WORLD)], ids=["json", "yaml"])
def test_utf_16_is_named(path: Path, encoding: str, text: str) -> None:
    path.write_bytes(text.encode(encoding))
    with pytest.raises(BadDataError, match=f"^{path}: is UTF-16.* save it as UTF-8"):
        opened(path).snapshot(None)
    with pytest.raises(BadDataError, match=r"^stdin: is UTF-16"):
        FileCluster(["-"], None, io.BytesIO(text.encode(encoding))).snapshot(None)


@pytest.mark.parametrize("data", [b"\xff\xff{\x00}\x00", b"kind: \xc3\x28", bytes(range(256))])
def test_bytes_that_are_no_utf_8_are_an_error(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(BadDataError, match="UTF-8"):
        opened(path).snapshot(None)


def test_a_cut_off_dump_of_kubectl_is_an_error_wherever_it_is_cut(path: Path) -> None:
    text = yaml.safe_dump(WORLD)
    whole = text.index("kind: List") + len("kind: List")
    for end in [*range(0, whole - 20, 7), *range(whole - 20, whole)]:
        path.write_text(text[:end])
        with pytest.raises(BadDataError):
            opened(path).snapshot(worlds.NODE)


def test_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(BadDataError, match="No such file"):
        opened(path).snapshot(None)


def test_a_directory_or_a_fifo_is_an_error_at_once(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(BadDataError, match="is no regular file; - reads stdin"):
        opened(path).snapshot(None)
    with pytest.raises(BadDataError, match="is no regular file"):
        opened(tmp_path).snapshot(None)
    with pytest.raises(BadDataError, match="null byte"):
        FileCluster(["a\x00b"], None).snapshot(None)


def test_an_empty_stdin_is_an_error_that_names_it() -> None:
    with pytest.raises(BadDataError, match=r"^stdin: is empty"):
        FileCluster(["-"], None, io.BytesIO()).snapshot(None)


def test_one_bad_file_among_good_ones_is_an_error(path: Path, tmp_path: Path) -> None:
    write(path, WORLD)
    empty = tmp_path / "empty.yaml"
    empty.touch()
    with pytest.raises(BadDataError, match=r"empty\.yaml"):
        opened(path, empty).snapshot(worlds.NODE)


def test_yaml_beyond_its_limit_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(formats, "YAML_BYTES", 100)
    with pytest.raises(BadDataError, match="YAML of more than"):
        opened(write(path, WORLD)).snapshot(None)


def test_a_file_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr("nplconf.cluster.file.dump.FILE_BYTES", 100)
    with pytest.raises(BadDataError, match="larger than"):
        opened(write(path, WORLD)).snapshot(None)
    with pytest.raises(BadDataError, match="stdin: larger than"):
        FileCluster(["-"], None, io.BytesIO(b"x" * 101)).snapshot(None)


def test_what_is_no_json_is_not_read_beyond_the_limit_of_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "YAML_BYTES", 100)
    endless = io.BytesIO(bytes(1_000_000))
    cluster = FileCluster(["-"], None, endless)
    with pytest.raises(BadDataError, match="stdin: YAML of more than"):
        cluster.snapshot(None)
    assert endless.tell() < 100_000


def test_json_may_be_larger_than_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(formats, "YAML_BYTES", 10)
    path = write(tmp_path / "cluster.json", WORLD)
    assert opened(path, write_back=path).patch([Patch(worlds.ref("nobody"), None)]), "it was read, and has no such Pod"


def test_a_file_that_has_changed_is_read_again(path: Path) -> None:
    cluster = opened(write(path, WORLD))
    assert len(cluster.snapshot(None).pods) == 1
    write(path, worlds.raw_list(worlds.raw_node(), worlds.raw_service()))
    assert cluster.snapshot(None).pods == ()


@pytest.mark.timeout(20)
def test_a_document_that_is_none_is_an_error_before_all_that_is_behind_it_is_read(path: Path) -> None:
    path.write_text("a: 1\n---\n" * 2_000_000)
    with pytest.raises(BadDataError, match="a document without a kind"):
        FileCluster((str(path),), None).snapshot(None)
