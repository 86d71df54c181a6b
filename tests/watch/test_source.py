"""A resource is followed whatever its watch does: it resumes, lists after a gap, and waits between attempts."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import NODE, raw_pod

from nplconf.cluster.api.answers import InvalidResponseError
from nplconf.cluster.api.stream import GoneError, WatchEvent
from nplconf.cluster.objects import read_pod
from nplconf.errors import NplconfError, PermissionDeniedError, UnavailableError
from nplconf.watch import source
from nplconf.watch.hub import Hub
from nplconf.watch.mirror import Mirror
from nplconf.watch.source import Source

Raw = Mapping[str, Any]
Step = WatchEvent | Exception
LOST = UnavailableError("the connection is gone")


def a_pod(name: str, ip: str = "10.244.3.17") -> Raw:
    return raw_pod(name, [ip])


def added(name: str, ip: str = "10.244.3.17") -> WatchEvent:
    return WatchEvent("ADDED", a_pod(name, ip))


class Scripted:
    """A stream whose lists and watches are given. lists: objects or an error; watches: events, an error ends one."""

    def __init__(self, lists: list[list[Raw] | Exception], watches: list[list[Step] | Exception]) -> None:
        self.lists, self.watches = lists, watches
        self.asked: list[str] = []

    def list(self) -> Iterator[Raw]:
        self.asked.append("list")
        found = self.lists.pop(0)
        if isinstance(found, Exception):
            raise found
        yield from found

    def events(self) -> Iterator[WatchEvent]:
        self.asked.append("watch")
        found = self.watches.pop(0)
        if isinstance(found, Exception):
            raise found
        return self._each(found)

    def _each(self, steps: Sequence[Step]) -> Iterator[WatchEvent]:
        for step in steps:
            if isinstance(step, Exception):
                raise step
            yield step


class Followed:
    """A source of Pods over a scripted stream."""

    def __init__(self, lists: list[list[Raw] | Exception], watches: list[list[Step] | Exception]) -> None:
        self.hub = Hub(Mirror({"pods": lambda raw: read_pod(raw, NODE)}))
        self.stream = Scripted(lists, watches)
        self.slept: list[float] = []
        self.source = Source(self.hub, "pods", self.stream, sleep=self.slept.append, dice=lambda: 1.0)  # type: ignore[arg-type]

    def attempts(self, count: int) -> "Followed":
        for _ in range(count):
            self.source.attempt()
        return self

    @property
    def names(self) -> set[str]:
        return {pod.ref.name for pod in self.hub.snapshot().pods}

    def trusted(self) -> bool:
        try:
            self.hub.snapshot()
        except NplconfError:
            return False
        return True


def test_a_watch_that_breaks_off_goes_on_where_it_ended() -> None:
    followed = Followed([[a_pod("a")]], [[added("b"), LOST], [added("c")]]).attempts(2)
    assert followed.stream.asked == ["list", "watch", "watch"]
    assert followed.names == {"a", "b", "c"}
    assert followed.slept == [1.0]


def test_one_failure_keeps_the_mirror_trusted_and_two_do_not() -> None:
    followed = Followed([[a_pod("a")]], [[added("b"), LOST], LOST, [added("c")]])
    assert followed.attempts(1).trusted()
    assert not followed.attempts(1).trusted()
    assert followed.attempts(1).names == {"a", "b", "c"}
    assert followed.stream.asked.count("list") == 1


def test_rejected_credentials_and_a_first_list_that_fails_are_known_at_once() -> None:
    denied = PermissionDeniedError("401")
    assert not Followed([[]], [[added("b"), denied]]).attempts(1).trusted()
    failed = Followed([LOST], []).attempts(1)
    with pytest.raises(UnavailableError, match="the connection is gone"):
        failed.hub.snapshot()


@pytest.mark.parametrize("fault", [GoneError(), InvalidResponseError("no JSON"), ZeroDivisionError("a bug")])
def test_after_a_gap_the_resource_is_listed_again(fault: Exception) -> None:
    followed = Followed([[a_pod("a")], [a_pod("b")]], [[added("x"), fault], [added("c")]]).attempts(2)
    assert followed.stream.asked == ["list", "watch", "list", "watch"]
    assert followed.names == {"b", "c"}
    assert followed.hub.restarts["pods"] == 1


def test_a_list_that_breaks_off_changes_nothing() -> None:
    followed = Followed([[a_pod("a"), a_pod("b")]], [[added("c"), GoneError()]]).attempts(1)

    def half() -> Iterator[Raw]:
        yield a_pod("a")
        raise LOST

    with pytest.raises(UnavailableError):
        followed.hub.replace("pods", half())
    assert followed.names == {"a", "b", "c"}


def test_the_wait_doubles_while_nothing_comes_and_begins_anew_after_an_event() -> None:
    failures: list[list[Step] | Exception] = [LOST, LOST, LOST, [added("b"), LOST], [added("c")]]
    followed = Followed([[]], failures).attempts(5)
    assert followed.slept == [1.0, 2.0, 4.0, 1.0]


def test_a_watch_that_the_server_ends_at_once_is_a_failure_and_one_that_lasted_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    followed = Followed([[]], [[], [], []]).attempts(2)
    assert followed.slept == [1.0, 2.0]
    assert not followed.trusted()
    times = iter(range(0, 1000, 300))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(times)))
    followed.source.attempt()
    assert followed.slept == [1.0, 2.0]


# --- any sequence -----------------------------------------------------------------------------------------------------


class Server:
    """A server with a history: it breaks watches off, forgets the past, and ends streams."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.objects: dict[str, Raw] = {}
        self.history: list[WatchEvent] = []
        self.version = 0
        self.calm = False
        """Nothing fails any more."""

    def change(self) -> None:
        name = self.data.draw(st.sampled_from("abc"), label="name")
        if name in self.objects and self.data.draw(st.booleans(), label="delete"):
            self.history.append(WatchEvent("DELETED", self.objects.pop(name)))
        else:
            raw = a_pod(name, f"10.244.3.{self.data.draw(st.integers(1, 3), label='ip')}")
            self.objects[name] = raw
            self.history.append(WatchEvent("MODIFIED", raw))

    def _fault(self, *faults: Exception) -> None:
        if not self.calm and self.data.draw(st.integers(0, 3), label="fault") == 0:
            raise self.data.draw(st.sampled_from(faults), label="which")

    def list(self) -> Iterator[Raw]:
        self._fault(LOST, PermissionDeniedError("403"))
        for raw in tuple(self.objects.values()):
            self._fault(LOST, GoneError())
            yield raw
        self.version = len(self.history)

    def events(self) -> Iterator[WatchEvent]:
        self._fault(LOST, GoneError(), PermissionDeniedError("401"))
        return self._since()

    def _since(self) -> Iterator[WatchEvent]:
        while self.version < len(self.history):
            self._fault(LOST, GoneError(), InvalidResponseError("cut"), UnavailableError("ended"))
            event = self.history[self.version]
            self.version += 1
            yield event
        yield WatchEvent("BOOKMARK", {})


@given(st.data())
def test_after_any_faults_the_mirror_is_what_a_fresh_list_gives(data: st.DataObject) -> None:
    server = Server(data)
    hub = Hub(Mirror({"pods": lambda raw: read_pod(raw, NODE)}))
    followed = Source(hub, "pods", server, sleep=lambda _: None, dice=lambda: 0.5)  # type: ignore[arg-type]
    for _ in range(data.draw(st.integers(1, 8), label="rounds")):
        for _ in range(data.draw(st.integers(0, 4), label="changes")):
            server.change()
        followed.attempt()
    server.calm = True
    for _ in range(2):  # the first one may only learn that there is a gap
        followed.attempt()
    fresh = {read_pod(raw, NODE) for raw in server.objects.values()}
    assert set(hub.snapshot().pods) == fresh


def test_every_resource_of_the_mirror_is_followed_by_a_thread(mocker: Any) -> None:
    threads = mocker.patch("threading.Thread")
    source.start(Hub(Mirror.of_node(NODE)), mocker.Mock(), source.of_node(NODE))
    assert [call.kwargs["name"] for call in threads.call_args_list] == ["services", "nodes", "pods"]
