"""Any response of an API server is at worst a failure of that request."""

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import worlds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nplconf.cluster.api import client, session
from nplconf.cluster.api.client import ApiCluster
from nplconf.errors import PermissionDeniedError, UnavailableError
from nplconf.model import Event, Patch, PodRef

SURROGATE = "\ud800"


class Raw(NamedTuple):
    """An answer as it comes over the wire, before its length is known."""

    status: int
    headers: dict[str, str]
    body: bytes


class Server:
    """Answers every request with the same bytes, whatever is asked."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.answer = b""
        self.asked = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            data = b""
            while b"\r\n\r\n" not in data:
                if not (more := connection.recv(65536)):
                    return
                data += more
            self.asked += 1
            connection.sendall(self.answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # the body of a patch
                pass


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.listener.shutdown(socket.SHUT_RDWR)
    found.listener.close()


@pytest.fixture(scope="module")
def cluster(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    """One that does not wait."""
    path = tmp_path_factory.mktemp("any") / "kubeconfig"
    worlds.kubeconfig(path, {"token": "t"}, server=f"http://127.0.0.1:{server.listener.getsockname()[1]}")
    with pytest.MonkeyPatch.context() as patched:
        for name in ("READ_SECONDS", "WRITE_SECONDS", "EVENT_SECONDS"):
            patched.setattr(client, name, 0.5)
        patched.setattr(session, "PAUSES", (0.001,))
        found = ApiCluster(str(path), lambda _message: None)
        yield found
        found.close()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "a", SURROGATE, "metadata.uid", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["kind", "items", "metadata", "name", "uid", "details", "causes", "field", "spec", "status"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KNOWN: list[Any] = [
    {"kind": "ServiceList", "metadata": {"continue": ""}, "items": [worlds.raw_service()]},
    {"kind": "PodList", "metadata": {}, "items": [worlds.raw_pod("web-0")]},
    worlds.raw_node(),
    worlds.raw_pod("web-0"),
    {"kind": "Status", "message": "m", "reason": "NotFound", "details": {"kind": "pods", "causes": [{"field": "f"}]}},
    {"status": {"allowed": True}},
]


def places(found: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in it."""
    inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def replaced(found: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at one place."""
    if not path:
        return value
    copy = dict(found) if isinstance(found, dict) else list(found)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """What an API server answers, with another value at one place."""
    found = draw(st.sampled_from(KNOWN))
    return replaced(found, draw(st.sampled_from(places(found))), draw(JSON))


BODIES = (
    (spoilt() | JSON | st.sampled_from(KNOWN)).map(lambda found: json.dumps(found).encode())
    | st.binary(max_size=30)
    | st.sampled_from([b"[" * 5000, b'{"kind":' * 5000, b"1" * 5000, b'{"items":[{"metadata":' + b"1" * 5000, b"\xff"])
)
TEXTS = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "9" * 500,
        "1e999",
        "\xb2",
        "https://[",
        "//[::1",
        "http://a:b@c/",
        "gzip",
        "br",
        "identity",
        "chunked",
    ]
) | st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
DATES = st.builds(
    "Mon, {} Jan {} {}:00:00 {}".format, *[st.integers(-1, 10**20)] * 3, st.sampled_from(["GMT", "-9999"])
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Retry-After", "Location", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Content-Length"]
    ),
    TEXTS | DATES,
    max_size=3,
)
STATUSES = st.sampled_from([200, 201, 204, 301, 307, 400, 401, 403, 404, 409, 410, 422, 429, 500, 503, 504, 999])


@st.composite
def answers(draw: st.DrawFn) -> Raw:
    """Any answer; some are packed as they say."""
    body, headers = draw(BODIES), draw(HEADERS)
    if draw(st.booleans()):
        body, headers = gzip.compress(body), headers | {"Content-Encoding": "gzip"}
    return Raw(draw(STATUSES), headers, body)


def wire(raw: Raw) -> bytes:
    """The answer as bytes; without a length of its own it ends with the connection."""
    head = "".join(f"{name}: {value}\r\n" for name, value in raw.headers.items())
    return f"HTTP/1.1 {raw.status} x\r\n{head}\r\n".encode("latin-1", "replace") + raw.body


EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PODS = tuple(PodRef("shop", f"web-{i}", f"uid-{i}") for i in range(3))


@EXAMPLES
@given(raw=answers())
def test_a_snapshot_is_whole_or_unavailable_and_can_be_written_down(
    server: Server, cluster: ApiCluster, raw: Raw
) -> None:
    server.answer = wire(raw)

    for node in ("node-1", None):
        try:
            found = cluster.snapshot(node)
        except (UnavailableError, PermissionDeniedError) as err:
            str(err).encode("utf-8", "surrogatepass")
        else:
            repr(found).encode()


@EXAMPLES
@given(raw=answers())
def test_each_patch_fails_for_itself(server: Server, cluster: ApiCluster, raw: Raw) -> None:
    server.answer = wire(raw)

    failures = cluster.patch([Patch(pod, "[]") for pod in PODS])

    assert {failure.subject for failure in failures} <= {pod.key for pod in PODS}


@EXAMPLES
@given(raw=answers())
def test_an_event_is_created_or_left_to_the_next_run(server: Server, cluster: ApiCluster, raw: Raw) -> None:
    server.answer = wire(raw)
    events = [Event("Pod", "shop", pod.name, pod.uid, "Reason", "note", "topic", "value") for pod in PODS]

    assert set(cluster.post_events(events, "node-1")) <= set(events)


@EXAMPLES
@given(raw=answers())
def test_rights_are_known_or_unavailable(server: Server, cluster: ApiCluster, raw: Raw) -> None:
    server.answer = wire(raw)

    with contextlib.suppress(UnavailableError):
        assert len(cluster.rights("node-1", events=True)) == 5


def test_a_patch_that_fails_in_an_unknown_way_keeps_no_other_pod_from_being_patched(
    server: Server, cluster: ApiCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    server.answer, server.asked = wire(Raw(200, {}, b"{}")), 0
    monkeypatch.setattr(client.publishing, "verdict", broken)

    failures = cluster.patch([Patch(pod, "[]") for pod in PODS])

    assert [failure.subject for failure in failures] == [pod.key for pod in PODS]
    assert server.asked == len(PODS)


def test_a_snapshot_that_fails_in_an_unknown_way_is_unavailable(
    server: Server, cluster: ApiCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    server.answer = wire(Raw(200, {}, json.dumps(KNOWN[0]).encode()))
    monkeypatch.setattr(client, "state", broken)

    with pytest.raises(UnavailableError, match="ZeroDivisionError"):
        cluster.snapshot("node-1")
