"""Whatever happens to a watch between API server and node, the mirror soon equals a fresh list."""

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import faultproxy
import pytest
from area import Area
from faultproxy import Broken, Proxy
from watching import eventually

from nplconf.cluster.api import kubeconfig, stream
from nplconf.cluster.api.stream import Stream
from nplconf.errors import NplconfError
from nplconf.model import Pod
from nplconf.watch import source
from nplconf.watch.hub import Hub
from nplconf.watch.mirror import Mirror
from nplconf.watch.source import Source

pytestmark = pytest.mark.api


@dataclass
class Followed:
    """The Pods of one node, followed through a proxy. slept: the pauses that were asked for; none is made."""

    area: Area
    proxy: Proxy
    hub: Hub
    slept: list[float] = field(default_factory=list)

    @property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        """What the mirror has."""
        pods = self.hub.mirror.objects["pods"].values()
        return {pod.ref.name: pod.ips for pod in pods if isinstance(pod, Pod)}

    @property
    def trusted(self) -> bool:
        try:
            self.hub.snapshot()
        except NplconfError:
            return False
        return True

    def move(self, number: int) -> float:
        """Give the Pod another address; the seconds until the mirror has it."""
        ip = f"10.244.{number // 200}.{number % 200 + 1}"
        self.area.status("web-0", {"podIP": ip, "podIPs": [{"ip": ip}]})
        return eventually(lambda: self.addresses == {"web-0": (ip,)} and self.trusted, 20)

    def watches(self) -> int:
        """How often a watch was opened."""
        return sum("watch=1" in path for path in self.proxy.seen("GET"))

    def lists(self) -> int:
        return len(self.proxy.seen("GET")) - self.watches()


@pytest.fixture
def followed(area: Area) -> Iterator[Followed]:
    area.pod("web-0", ("10.244.3.17",))
    with Proxy(area.plane) as proxy, following(area, proxy) as made:
        eventually(lambda: made.trusted and bool(proxy._streams))
        yield made


@contextlib.contextmanager
def following(area: Area, proxy: Proxy) -> Iterator[Followed]:
    """Follow in a thread until the body ends."""
    hub = Hub(Mirror({"pods": Mirror.of_node(area.node)._readers["pods"]}))
    made = Followed(area, proxy, hub)
    known = str(proxy.kubeconfig(area.node, token=area.token()))
    opened = Stream(lambda: kubeconfig.read(known), "pods", "PodList", {"fieldSelector": f"spec.nodeName={area.node}"})
    over = threading.Event()

    def pause(seconds: float) -> None:
        made.slept.append(seconds)
        over.wait(0.02)

    followed = Source(hub, "pods", opened, sleep=pause)

    def follow() -> None:
        while not over.is_set():
            followed.attempt()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        over.set()
        proxy.heal()
        while thread.is_alive():
            proxy.cut_streams()
            thread.join(0.1)


def test_a_watch_that_is_cut_at_any_byte_goes_on_where_it_ended(followed: Followed) -> None:
    lists = followed.lists()
    for number, after in enumerate(range(0, 2400, 60)):
        followed.proxy.break_streams(Broken(after=after), Broken(after=after // 2))
        followed.move(number)
    assert followed.watches() > 40
    assert followed.lists() == lists, "no gap, so no new list"


def test_a_stream_without_a_byte_is_dead_after_its_time(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SILENCE_SECONDS", 1.0)
    for after in (0, 100):
        followed.proxy.break_streams(Broken(after=after, silent=True))
        time.sleep(0.2)
        assert followed.move(after) < 5.0


def test_versions_that_go_backwards_lead_to_a_new_list(followed: Followed) -> None:
    lists = followed.lists()
    back = re.compile(rb'"resourceVersion":"(\d+)"')

    def age(data: bytes) -> bytes:
        return back.sub(lambda found: found[0].replace(found[1], b"1".ljust(len(found[1]), b"0")), data)

    followed.proxy.break_streams(Broken(change=age))
    followed.move(1)
    assert followed.lists() == lists + 1


def test_garbage_in_a_stream_leads_to_a_new_list(followed: Followed) -> None:
    lists = followed.lists()
    followed.proxy.break_streams(Broken(change=lambda data: data.replace(b'"type":"MODIFIED"', b'"type":"MORTIFY"')))
    followed.move(1)
    assert followed.lists() == lists + 1


@pytest.mark.parametrize(
    "fault",
    [
        faultproxy.dripping(),
        faultproxy.edited(lambda raw: raw | {"metadata": raw["metadata"] | {"continue": "again"}}),
        faultproxy.truncated(60),
        faultproxy.truncated(60, honest=True),
    ],
    ids=["drips", "pages without an end", "is cut", "is cut honestly"],
)
def test_a_list_that_does_not_end_or_is_not_whole_is_no_list(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, fault: faultproxy.Fault
) -> None:
    monkeypatch.setattr(stream, "LIST_SECONDS", 1.0)
    followed.proxy.fail(fault, "/api/v1/pods?fieldSelector", "GET", times=1 << 30)
    gone = faultproxy.status(410, "Expired")
    followed.proxy._rules.insert(0, faultproxy._Rule(gone, "GET", "/api/v1/pods?", 1))  # so that it lists again
    followed.proxy.cut_streams()
    eventually(lambda: not followed.trusted, 10)
    assert set(followed.addresses) == {"web-0"}, "what is known stays, and is not used"
    followed.proxy.heal()
    followed.move(1)


def doubling(slept: Sequence[float]) -> bool:
    """Whether the first five pauses are those after 0, 1, 2... failures in a row."""
    bounds = [source.pace.FIRST_BACKOFF * 2**failures for failures in range(5)]
    return all(bound / 4 <= pause <= bound for pause, bound in zip(slept, bounds, strict=False))


def test_a_server_that_restarts_is_asked_at_growing_intervals(followed: Followed) -> None:
    followed.proxy.fail(faultproxy.reset(), "/api/v1/pods", times=1 << 30)
    followed.proxy.cut_streams()
    eventually(lambda: len(followed.slept) > 7, 20)
    assert not followed.trusted
    # an event may have come after the first failures, and the intervals begin anew then
    assert any(doubling(followed.slept[start:]) for start in range(3)), followed.slept
    followed.proxy.heal()
    followed.move(1)
    before = len(followed.slept)
    followed.proxy.break_streams(Broken(after=0))
    followed.move(2)
    assert all(slept <= source.pace.FIRST_BACKOFF for slept in followed.slept[before : before + 1]), "it begins anew"
