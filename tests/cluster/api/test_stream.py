"""Valid watch events are accepted in a valid order. Anything else is an error with a name."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import raw_pod

from nplconf.cluster.api import stream as streams
from nplconf.cluster.api.answers import InvalidResponseError
from nplconf.cluster.api.stream import GoneError, Stream, WatchEvent, parsed
from nplconf.errors import NplconfError, UnavailableError


def a_pod(version: str = "7") -> dict[str, Any]:
    raw = raw_pod("web", ["10.244.3.17"])
    return {**raw, "metadata": {**raw["metadata"], "resourceVersion": version}}


def line(kind: str, what: object) -> bytes:
    return json.dumps({"type": kind, "object": what}).encode() + b"\n"


class Opened:
    """A session whose watch has these lines."""

    def __init__(self, *lines: bytes) -> None:
        self.lines = lines

    def stream(self, *_: object) -> Iterator[bytes]:
        return iter(self.lines)


def following(version: str, *lines: bytes) -> Stream:
    stream = Stream(lambda: pytest.fail("no connection"), "pods", "PodList", {})
    stream.version = version
    stream._session = Opened(*lines)  # type: ignore[assignment]
    return stream


def test_events_follow_the_version_up_to_the_last_one() -> None:
    stream = following("6", line("ADDED", a_pod("7")), line("BOOKMARK", {"metadata": {"resourceVersion": "9"}}))
    assert [event.type for event in stream.events()] == ["ADDED", "BOOKMARK"]
    assert stream.version == "9"


@pytest.mark.parametrize(("before", "after"), [("10", "9"), ("100", "99"), ("1", "0")])
def test_a_version_that_goes_backwards_is_no_stream(before: str, after: str) -> None:
    stream = following(before, line("MODIFIED", a_pod(after)))
    with pytest.raises(InvalidResponseError, match="goes back"):
        list(stream.events())
    assert stream.version == before


def test_a_410_as_an_event_and_as_the_answer_is_a_gap() -> None:
    with pytest.raises(GoneError):
        list(following("1", line("ERROR", {"code": 410, "message": "too old"})).events())
    stream = following("1")
    stream._session.stream = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(GoneError):
        stream.events()


def test_an_error_of_the_server_is_reported_with_its_text() -> None:
    with pytest.raises(UnavailableError, match="etcd is away"):
        parsed(line("ERROR", {"code": 500, "message": "etcd is away"}))


NO_EVENTS = {
    "no JSON": b"{\n",
    "a list": b"[]\n",
    "no object": b'{"type": "ADDED"}\n',
    "an unknown type": line("RENAMED", a_pod()),
    "no name": line("ADDED", {"metadata": {"uid": "u", "resourceVersion": "7"}}),
    "no UID": line("ADDED", {"metadata": {"name": "n", "resourceVersion": "7"}}),
    "no version": line("ADDED", {"metadata": {"name": "n", "uid": "u"}}),
    "half a surrogate pair": b'{"type":"ADDED","object":{"metadata":{"name":"\\ud800","uid":"u"}}}\n',
    "NaN": b'{"type":"ADDED","object":{"metadata":{"name":"n","uid":"u","resourceVersion":"7"},"spec":NaN}}\n',
    "not UTF-8": b'{"type":"ADDED","object":{"metadata":{"name":"\xff","uid":"u"}}}\n',
    "deep": b'{"type":"ADDED","object":' + b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("text", NO_EVENTS.values(), ids=NO_EVENTS)
def test_a_line_that_is_no_event_is_an_error(text: bytes) -> None:
    with pytest.raises(InvalidResponseError):
        list(following("1", text).events())


@given(st.binary(max_size=80) | st.from_regex(rb'\{"type": ?"[A-Z]{3,9}", ?"object": ?.{0,40}\}', fullmatch=True))
def test_any_line_is_an_event_or_an_error_by_name(text: bytes) -> None:
    try:
        found = parsed(text)
    except (NplconfError, GoneError):
        return
    assert isinstance(found, WatchEvent)
    assert found.type in streams.TYPES


@given(st.data())
def test_a_line_that_is_cut_anywhere_is_never_another_event(data: st.DataObject) -> None:
    whole = line("MODIFIED", a_pod()).rstrip()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(InvalidResponseError):
        parsed(cut)
