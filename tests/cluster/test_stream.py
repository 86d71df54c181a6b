"""Large dumps: what is read item by item is what the whole file says, in every form of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import worlds

from nplconf.cluster import stream
from nplconf.cluster.file import FileCluster
from nplconf.errors import BadDataError

OBJECTS = [worlds.raw_node(), worlds.raw_service(), *(worlds.raw_pod(f"web-{i}") for i in range(40))]


def bare(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key not in ("kind", "apiVersion")}


FORMS = {
    "kubectl": json.dumps(worlds.raw_list(*OBJECTS), indent=4),
    "compact": json.dumps(worlds.raw_list(*OBJECTS), separators=(",", ":")),
    "kind first": json.dumps({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": OBJECTS}),
    "typed": json.dumps({"kind": "PodList", "apiVersion": "v1", "items": [bare(worlds.raw_pod())]}),
    "typed, kind last": json.dumps({"items": [bare(worlds.raw_pod())], "kind": "PodList", "apiVersion": "v1"}),
    "one object": json.dumps(worlds.raw_pod()),
    "not ASCII": json.dumps(worlds.raw_list(worlds.raw_pod(labels={"app": "wéb\U0001f600"})), ensure_ascii=False),
    "byte order mark": "\ufeff" + json.dumps(worlds.raw_list(*OBJECTS)),
    "odd items": json.dumps(worlds.raw_list(worlds.raw_pod()) | {"items": [None, 1, worlds.raw_pod(), {}]}),
    "other group": json.dumps(worlds.raw_list(worlds.raw_pod(), {**worlds.raw_pod("x"), "apiVersion": "apps/v1"})),
    "YAML": "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
}
BAD = {
    "cut": FORMS["kubectl"][:-40],
    "cut in an item": FORMS["kubectl"][:900],
    "no kind": json.dumps({"apiVersion": "v1", "items": OBJECTS}),
    "a Pod with items": json.dumps({"apiVersion": "v1", "items": OBJECTS, "kind": "Pod"}),
    "more behind": FORMS["compact"] + "{}",
    "NaN": FORMS["compact"].replace('"v1"', "NaN", 1),
    "no list": json.dumps({"apiVersion": "v1", "items": 7, "kind": "List"}),
    "empty": "",
    "nothing in it": json.dumps(worlds.raw_list()),
}


def written(directory: Path, text: str) -> str:
    path = directory / "cluster.json"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("chunk", [1, 7, 100, 4096])
@pytest.mark.parametrize("form", FORMS)
def test_it_says_what_the_whole_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, chunk: int
) -> None:
    monkeypatch.setattr(stream, "_CHUNK", chunk)
    name = written(tmp_path, FORMS[form])
    assert stream.snapshot((name,), lambda _: None) == FileCluster((name,), None).snapshot(None)


@pytest.mark.parametrize("form", BAD)
def test_it_refuses_what_the_whole_file_is_refused_for(tmp_path: Path, form: str) -> None:
    name = written(tmp_path, BAD[form])
    with pytest.raises(BadDataError) as whole:
        FileCluster((name,), None).snapshot(None)
    with pytest.raises(BadDataError) as streamed:
        stream.snapshot((name,), lambda _: None)
    assert str(streamed.value) == str(whole.value)


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    told: list[int] = []
    stream.snapshot((written(tmp_path, FORMS["kubectl"]),), told.append)
    assert sum(told) == len(FORMS["kubectl"])
