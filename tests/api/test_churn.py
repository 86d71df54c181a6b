"""Two hundred changes of a cluster and faults of its API server, while clients use every published port."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apisite
import faultproxy
import pytest
import worlds
from apisite import Site
from area import Area
from echo import Answer
from faultproxy import Fault
from netns import Applied
from watching import Driven

pytestmark = [pytest.mark.api, pytest.mark.kernel, pytest.mark.timeout(900)]
STEPS, BY_WATCH = 200, 40
PLACES = [f"place{i}" for i in range(5)]
NAMES = ["db-0", "db-1", "web-a", "web-b"]
SERVERS = (8080, 9090)
API = "/api/v1/"
FAULTS: list[tuple[Fault, str, str, int]] = [
    (faultproxy.reset(), API, "GET", 1),
    (faultproxy.reset(), API, "GET", 1000),
    (faultproxy.answers(503, "", Retry_After="0"), API, "", 2),
    (faultproxy.answers(200, "<html>", "text/html"), f"{API}pods", "GET", 1),
    (faultproxy.edited(lambda raw: raw | {"items": None}), f"{API}services", "GET", 1),
    (faultproxy.truncated(60, honest=True), f"{API}pods", "GET", 1),
    (faultproxy.status(401, "Unauthorized"), API, "", 1000),
    (faultproxy.status(500, "InternalError"), API, "PATCH", 4),
    (faultproxy.status(403, "Forbidden", "denied by somebody"), API, "PATCH", 1000),
    (faultproxy.reset_after(), API, "PATCH", 1),
    (faultproxy.status(409, "Conflict", "UID in precondition"), API, "PATCH", 1),
]
"""A fault, the requests that it meets, and how many of them."""


def address(place: str) -> str:
    return f"10.244.3.{20 + PLACES.index(place)}"


@dataclass
class Churn:
    """pods: name -> (uid, place) as they are now. believed: uid -> the places where a run may have seen the Pod."""

    node: Site
    random: random.Random
    pods: dict[str, tuple[str, str]] = field(default_factory=dict)
    believed: dict[str, set[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    connections: int = 0

    @property
    def area(self) -> Area:
        return self.node.area

    # --- changes of the cluster

    def change(self) -> None:
        """Any one of what happens to a cluster."""
        often = [self.come, self.come, self.come, self.go, self.again, self.move]
        self.random.choice([*often, self.end, self.relabel, self.select, self.retarget, self.deface, self.flush])()

    def free(self) -> list[str]:
        taken = {place for _, place in self.pods.values()}
        return [place for place in PLACES if place not in taken]

    def come(self) -> None:
        absent = [name for name in NAMES if name not in self.pods]
        if absent and self.free():
            name, place = self.random.choice(absent), self.random.choice(self.free())
            raw = self.area.pod(name, (address(place),), labels={"app": name, "all": "yes"})
            self.put(name, raw["metadata"]["uid"], place)

    def put(self, name: str, uid: str, place: str) -> None:
        """It is there from now on, and a run that goes on just now may see it there."""
        self.pods[name] = (uid, place)
        self.believed[uid] = self.believed.get(uid, set()) | {place}

    def some(self) -> str | None:
        return self.random.choice(sorted(self.pods)) if self.pods else None

    def go(self) -> None:
        if name := self.some():
            self.area.delete(name)
            del self.pods[name]

    def again(self) -> None:
        self.go()
        self.come()

    def move(self) -> None:
        """Another address, as after a new sandbox."""
        if (name := self.some()) and self.free():
            place = self.random.choice(self.free())
            self.area.status(name, {"podIP": address(place), "podIPs": [{"ip": address(place)}]})
            self.put(name, self.pods[name][0], place)

    def end(self) -> None:
        """It ends, and its address is somebody else's to have."""
        if name := self.some():
            self.area.status(name, {"phase": "Succeeded"})
            self.area.delete(name)
            del self.pods[name]

    def relabel(self) -> None:
        if name := self.some():
            labels = {"all": self.random.choice(["yes", "no"])}
            path = f"/api/v1/namespaces/{self.area.namespace}/pods/{name}"
            self.area.plane.ok("PATCH", path, {"metadata": {"labels": labels}})

    def select(self) -> None:
        self.area.annotate("web", self.random.choice(["true", "true", "false"]), worlds.ENABLED, "services")

    def retarget(self) -> None:
        ports = self.random.choice([[8080], [9090], [8080, 9090]])
        rows = [{"name": f"p{port}", "port": port, "targetPort": port, "protocol": "TCP"} for port in ports]
        path = f"/api/v1/namespaces/{self.area.namespace}/services/web"
        self.area.plane.ok("PATCH", path, {"spec": {"ports": rows}})

    def deface(self) -> None:
        if name := self.some():
            self.area.annotate(name, "no JSON")

    def flush(self) -> None:
        self.node.run("iptables-nft", "-t", "nat", "-F")

    # --- what is published

    def published(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(name, uid, entry) of every annotation on the server."""
        path = f"/api/v1/namespaces/{self.area.namespace}/pods"
        for raw in self.area.plane.ok("GET", path)["items"]:
            for entry in _entries(worlds.raw_annotation(raw)):
                yield raw["metadata"]["name"], raw["metadata"]["uid"], entry

    def use(self) -> list[str]:
        """Connect to all that is published; what nobody answered. Who answers must be the Pod that a run saw."""
        dead = []
        for name, uid, entry in self.published():
            answer = self.node.ask("client", entry["nodeIP"], entry["nodePort"], patience=3)
            self.connections += 1
            if not isinstance(answer, Answer):
                dead.append(f"{name} {entry}: {answer}")
            elif answer.pod not in self.believed.get(uid, set()) or answer.port != entry["podPort"]:
                self.wrong.append(f"{name} {uid} {entry} leads to {answer}, not to {self.believed.get(uid)}")
        return dead


def _entries(text: str | None) -> list[dict[str, Any]]:
    try:
        return list(json.loads(text or "[]"))
    except ValueError:
        return []


@pytest.fixture
def churn(area: Area, tmp_path: Path, driven: Driven) -> Iterator[Churn]:
    with apisite.site(tmp_path, "nft", area, driven) as node:
        for place in PLACES:
            node.routed(place, address(place), tcp=SERVERS)
        area.create_service(
            worlds.raw_service(namespace=area.namespace)
            | {"spec": {"selector": {"all": "yes"}, "ports": [{"port": 8080, "targetPort": 8080}]}}
        )
        yield Churn(node, random.Random(6281))


def run(churn: Churn, fault: tuple[Fault, str, str, int] | None, *, inside: bool) -> bool:
    """One change and one run of nplconf, with a fault or the change in its midst; True when all went as it should."""
    before = {uid: {place} for uid, place in churn.pods.values()}
    last = dict(churn.believed)
    if inside:
        read = [] if churn.node.driver else [f"{API}services", f"{API}pods"]  # watch mode has read them before
        path = churn.random.choice([*read, f"{API}namespaces"])
        churn.node.proxy.fail(faultproxy.before(churn.change), path)
    else:
        churn.change()
    now = {uid: {place} for uid, place in churn.pods.values()}
    churn.believed = _either(last, before, now)
    if fault:
        churn.node.proxy.fail(*fault)
        churn.node.cut()
    applied = churn.node.apply("--allow-empty", "--max-delete", "100")
    churn.node.proxy.heal()
    good = applied.code in ((0, 5, 69, 77) if fault else (0,)) or only_denied_before(applied)
    assert good, (applied.code, applied.stderr)
    after = {uid: {place} for uid, place in churn.pods.values()}
    unread = "kept at the last good plan" in applied.stderr or applied.code in (69, 77)
    churn.believed = last if unread else _either(before, after) if inside else now
    return fault is None and not inside


def only_denied_before(applied: Applied) -> bool:
    """Return whether all that failed is what an earlier run was denied, which is tried again after ten minutes."""
    failures = applied.data.get("failures", ())
    return applied.code == 5 and bool(failures) and all("denied before" in found["message"] for found in failures)


def _either(*beliefs: dict[str, set[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for belief in beliefs:
        for uid, places in belief.items():
            found[uid] = found.get(uid, set()) | places
    return found


def watching(churn: Churn, over: threading.Event) -> Callable[[], None]:
    """Uses what is published, over and over, also in the midst of runs."""

    def watch() -> None:
        while not over.wait(0.05):
            churn.use()

    return watch


@pytest.mark.watch_too
def test_what_is_published_leads_to_its_pod_or_nowhere_and_is_dead_for_no_longer_than_one_run(churn: Churn) -> None:
    over = threading.Event()
    watcher = threading.Thread(target=watching(churn, over))
    watcher.start()
    steps, alive = BY_WATCH if churn.node.driver else STEPS, 0
    try:
        for _ in range(steps):
            kind = churn.random.random()
            fault = churn.random.choice(FAULTS) if kind < 0.25 else None
            if run(churn, fault, inside=0.25 <= kind < 0.35):
                dead = churn.use()
                assert dead == []
                alive += 1
    finally:
        over.set()
        watcher.join()

    assert churn.wrong == []
    assert alive > steps / 2
    assert churn.connections > (steps / 4 if churn.node.driver else 2 * steps), "runs of watch mode leave less time"
