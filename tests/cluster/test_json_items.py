"""Dumps read item by item give the same objects as the whole file. A truncated file gives none."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import raw_list, raw_node, raw_pod, raw_service

from nplconf.cluster import json_items as stream
from nplconf.cluster.file import formats
from nplconf.errors import BadDataError

DUMP = raw_list(
    raw_node(), raw_pod(), raw_service(), {"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": ']}\\"é'}}
)
PODS = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [{"metadata": {"name": "a"}}]}


def streamed(data: bytes) -> list[tuple[str, Any]]:
    return [(o.kind, o.raw) for o in stream.objects(io.BytesIO(data), "dump.json")]


def whole(data: bytes) -> list[tuple[str, Any]]:
    return [(o.kind, o.raw) for o in formats.objects(formats.parse(data, "dump.json"))]


def outcome(read: Any, data: bytes) -> Any:
    """What is read, in any order; None where the file is refused."""
    try:
        return sorted(json.dumps(pair, sort_keys=True) for pair in read(data))
    except BadDataError as error:
        return None if str(error).startswith("dump.json") else f"unnamed: {error}"


def reordered_first(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its items first."""
    return {"items": document["items"], **document}


def reordered(document: dict[str, Any]) -> bytes:
    """The items first, as of a program that sorts its keys."""
    return json.dumps(reordered_first(document)).encode()


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(DUMP, indent=4).encode(),
        json.dumps(DUMP, separators=(",", ":")).encode(),
        b"\xef\xbb\xbf \n" + json.dumps(DUMP).encode() + b"\n\n",
        json.dumps(PODS).encode(),
        reordered(PODS),
        json.dumps(raw_pod()).encode(),
        json.dumps({**PODS, "items": []}).encode(),
        json.dumps(raw_list(DUMP, raw_list(PODS, raw_pod("b")), raw_service("c")), indent=4).encode(),
        json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": [reordered_first(DUMP), reordered_first(PODS)]}
        ).encode(),
        json.dumps({**PODS, "items": [{"kind": "Pod", "apiVersion": "apps/v1"}]}).encode(),
    ],
)
def test_a_dump_has_the_same_objects_either_way(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk in (7, 64, stream.CHUNK):
        monkeypatch.setattr(stream, "CHUNK", chunk)
        assert outcome(streamed, data) == outcome(whole, data) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"kind": 1}',
        b'{"kind": "List"}',
        b'{"kind": "List", "items": {}}',
        b'{"kind": "List", "items": null}',
        b'{"kind": "Pod", "items": []}',
        b'{"items": []}',
        b'{"kind": "List", "items": [NaN]}',
        b'{"kind": "List", "items": [1 2]}',
        b'{"kind": "List", "items": [{]}',
        b'{"kind": "List", "items": []} x',
        b'{"kind": "List", "items": [], }',
        b'{"kind": "List", "items": ["\xff"]}',
        b'{"kind": "List", 1: []}',
        b'{"kind": "List", "items": ' + b"[" * 100_000,
        b'{"kind": "List", "items": [' + b"1" * 5000 + b"]}",
    ],
)
def test_what_is_no_dump_is_refused_by_name(data: bytes) -> None:
    assert outcome(streamed, data) is None
    assert outcome(whole, data) is None


def test_items_that_come_twice_are_refused() -> None:
    assert outcome(streamed, b'{"kind": "List", "items": [], "items": []}') is None


def test_a_dump_that_was_cut_off_anywhere_is_refused() -> None:
    data = json.dumps(DUMP, indent=1).encode()
    for end in range(1, len(data)):
        assert outcome(streamed, data[:end]) is None


def test_an_error_names_its_line() -> None:
    with pytest.raises(BadDataError, match=r"dump\.json, line 3: not JSON"):
        streamed(b'{"kind": "List",\n "items": [\n oops]}')


def test_an_item_that_never_ends_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHUNK", 100)
    monkeypatch.setattr(stream, "LONGEST", 1000)
    file = io.BytesIO(b'{"kind": "List", "items": ["' + b"x" * 100_000 + b'"]}')
    with pytest.raises(BadDataError, match="not JSON"):
        list(stream.objects(file, "dump.json"))
    assert file.tell() < 2000


@pytest.mark.parametrize("indent", [None, 4])
def test_a_list_among_the_items_may_be_larger_than_an_item(monkeypatch: pytest.MonkeyPatch, indent: int | None) -> None:
    monkeypatch.setattr(stream, "CHUNK", 700)
    monkeypatch.setattr(stream, "LONGEST", 2000)
    kubectl = {"apiVersion": "v1", "items": [raw_pod(f"a-{n}") for n in range(50)], "kind": "List", "metadata": {}}
    data = json.dumps({"apiVersion": "v1", "kind": "List", "items": [kubectl, kubectl]}, indent=indent).encode()
    assert len(streamed(data)) == 100


def test_a_dump_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BYTES", 100)
    with pytest.raises(BadDataError, match="larger than"):
        streamed(json.dumps(DUMP).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(("kind", "apiVersion", "items", "metadata")),
        JSON | st.lists(st.fixed_dictionaries({}, optional={"kind": JSON, "apiVersion": st.just("v1") | JSON})),
    ),
    st.sampled_from((None, 1)),
    st.integers(1, 40),
)
def test_whatever_a_file_holds_both_ways_agree(document: dict[str, Any], indent: int | None, chunk: int) -> None:
    data = json.dumps(document, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "CHUNK", chunk)
        assert outcome(streamed, data) == outcome(whole, data)
