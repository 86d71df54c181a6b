"""Runs that SIGKILL or SIGTERM ends at any instant, while clients use every published port."""

import json
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import worlds
from changing import Site
from echo import Answer
from interrupted import Ended, Runner
from netns import IPTABLES, world
from repeating import repeated
from watching import Driven, WatchRunner, runner

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(600)]
RUNS, BY_WATCH = 100, 20
"""Interrupted runs on each backend, for each signal; in watch mode, on one backend."""
PAUSE = 0.02
"""Seconds between two rounds of a client that uses all that is published. It takes processor time from the runs."""
PLACES = [f"place{i}" for i in range(5)]
NAMES = ["db-0", "db-1", "web-a", "web-b"]
PORTS = [(80, 8080, "TCP"), (53, 53, "UDP")]


def addresses(place: str) -> list[str]:
    at = 20 + PLACES.index(place)
    return [f"10.244.3.{at}", f"fd00:244::{at:x}"]


class Crowd(Site):
    """Few numbers and no cooling, so that numbers go from Pod to Pod as fast as they can."""

    def _options(self) -> tuple[str, ...]:
        own = ("--cool-down", "0", "--max-delete", "100", "--allow-empty", "--port-range", "61000-61007")
        return (*super(Site, self)._options(), *own, "--namespace-share", "100")


@dataclass
class Life:
    """What happens in a cluster.

    pods: name -> (uid, place). unasked: the names that no Service selects. believed: uid -> the places at which a run
    may have seen the Pod since the last one that came to its end. wrong: what led elsewhere. used: how often a number
    was answered.
    """

    node: Crowd
    random: random.Random
    pods: dict[str, tuple[str, str]] = field(default_factory=dict)
    believed: dict[str, set[str]] = field(default_factory=dict)
    unasked: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    used: int = 0

    def change(self) -> None:
        """Two of the things that happen, and the cluster shows them."""
        for _ in range(2):
            self.random.choice([self.come, self.come, self.go, self.move, self.swap, self.again, self.ask, self.ask])()
        for uid, place in self.pods.values():
            self.believed.setdefault(uid, set()).add(place)
        self.show()

    def come(self) -> None:
        absent = [name for name in NAMES if name not in self.pods]
        if absent:
            name = self.random.choice(absent)
            self.pods[name] = (f"{name}-{self.random.getrandbits(32):08x}", self.random.choice(self.free()))

    def go(self) -> None:
        if self.pods:
            del self.pods[self.random.choice(sorted(self.pods))]

    def move(self) -> None:
        if self.pods:
            name = self.random.choice(sorted(self.pods))
            self.pods[name] = (self.pods[name][0], self.random.choice(self.free()))

    def swap(self) -> None:
        """Two Pods change addresses, as no cluster would have them do."""
        if len(self.pods) > 1:
            a, b = self.random.sample(sorted(self.pods), 2)
            (first, here), (second, there) = self.pods[a], self.pods[b]
            self.pods |= {a: (first, there), b: (second, here)}

    def again(self) -> None:
        self.go()
        self.come()

    def ask(self) -> None:
        """A Pod is selected no more, and stays, or is again: its numbers may be another's at once."""
        self.unasked ^= {self.random.choice(NAMES)}

    def free(self) -> list[str]:
        taken = {place for _, place in self.pods.values()}
        return [place for place in PLACES if place not in taken]

    def show(self) -> None:
        """Write the cluster as it is now. The annotations of its Pods stay."""
        annotations_before = {raw["metadata"]["uid"]: raw["metadata"].get("annotations") for raw in self.there()}
        service = worlds.raw_service("web", PORTS)
        service["spec"] |= {"selector": {"all": "yes"}, "ipFamilies": ["IPv4", "IPv6"]}
        raws = []
        for name, (uid, place) in self.pods.items():
            labels = {"all": "no" if name in self.unasked else "yes"}
            raw = worlds.raw_pod(name, addresses(place), labels=labels, annotations=annotations_before.get(uid))
            raw["metadata"]["uid"] = uid
            raws.append(raw)
        whole = worlds.raw_list(worlds.raw_node(), service, *raws)
        fresh = self.node.cluster.with_suffix(".fresh")
        fresh.write_text(json.dumps(whole))
        fresh.replace(self.node.cluster)

    def there(self) -> list[dict[str, Any]]:
        if not self.node.cluster.exists():
            return []
        items = json.loads(self.node.cluster.read_text())["items"]
        return [raw for raw in items if raw["kind"] == "Pod"]

    # --- what is published

    def published(self) -> set[tuple[str, str, int, int, str]]:
        """Return (uid, nodeIP, nodePort, podPort, protocol) of every annotation entry."""
        return {
            (raw["metadata"]["uid"], entry["nodeIP"], entry["nodePort"], entry["podPort"], entry["protocol"])
            for raw in self.there()
            for entry in json.loads(worlds.raw_annotation(raw) or "[]")
        }

    def use(self) -> list[str]:
        """Connect to all that is published; what nobody answered."""
        dead = []
        for row in sorted(self.published()):
            uid, address, number, port, protocol = row
            before = set(self.believed.get(uid, ()))
            answer = self.node.ask("client", address, number, protocol=protocol)
            if not isinstance(answer, Answer):
                dead.append(f"{row}: {answer}")
                continue
            self.used += 1
            right = before | self.believed.get(uid, set())
            # an entry withdrawn meanwhile was no longer published at the time of the request
            if (answer.pod not in right or answer.port != port) and row in self.published():
                self.wrong.append(f"{row} leads to {answer}, not to {right}")
        return dead

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Somebody uses what is published, all the time."""
        with repeated(self.use, PAUSE):
            yield


@pytest.fixture(params=[*(pytest.param(name, marks=pytest.mark.not_by_watch) for name in IPTABLES), "nftables"])
def life(request: pytest.FixtureRequest, tmp_path: Path, driven: Driven) -> Iterator[Life]:
    with world(tmp_path, request.param, Crowd) as node, driven(node):
        for place in PLACES:
            node.routed(place, *addresses(place), tcp=(8080,), udp=(53,))
        node.start_hold()
        yield Life(node, random.Random(6281))


def healed(life: Life, runner: Runner | WatchRunner) -> float:
    """Check that one run repairs everything that it and a client can see. Return its seconds."""
    run = runner.run("apply", "-o", "json")
    assert run.code == 0, (run.stderr, run.out)
    life.believed = {uid: {place} for uid, place in life.pods.values()}
    summary = run.data["summary"]
    rows = len(life.pods.keys() - life.unasked) * len(PORTS) * 2
    gone = sum(change["action"] == "delete" for change in run.data["changes"])
    assert (summary["ok"] + summary["changed"] - gone, len(life.published())) == (rows, rows)
    assert life.use() == []
    return run.seconds


def in_order(life: Life, runner: Runner | WatchRunner) -> bool:
    """Nothing differs, nothing is one too many, and nothing lies about."""
    left = [path.name for path in life.node.directory.iterdir() if path.name.startswith(".")]
    return runner.run("verify").code == 0 and not left


def interrupted_repeatedly(life: Life, runner: Runner | WatchRunner, number: signal.Signals) -> list[Ended]:
    """Interrupt a run, repair what it left, and repeat. Return the results of the interrupted runs."""
    often = BY_WATCH if isinstance(runner, WatchRunner) else RUNS
    life.change()
    seconds = healed(life, runner)
    found: list[Ended] = []
    while len(found) < often:
        life.change()
        run = runner.run("apply", "-o", "json", strike=(number, life.random.uniform(0, seconds)))
        assert "Traceback" not in run.stderr, run.stderr
        if run.code != 0:
            found.append(run)
        seconds = (seconds * 4 + healed(life, runner)) / 5
        assert life.wrong == []
        assert len(found) % 5 or in_order(life, runner)
    return found


@pytest.mark.watch_too
def test_after_a_kill_at_any_instant_no_port_leads_to_a_wrong_pod_and_one_run_repairs_everything(life: Life) -> None:
    with runner(life.node) as runs, life.in_use():
        ended = interrupted_repeatedly(life, runs, signal.SIGKILL)
    assert {run.code for run in ended} == {-signal.SIGKILL}
    assert life.wrong == []
    assert life.used > len(ended)


@pytest.mark.watch_too
def test_a_signal_at_any_instant_ends_a_run_between_two_steps_with_a_message(life: Life) -> None:
    with runner(life.node) as runs, life.in_use():
        ended = interrupted_repeatedly(life, runs, signal.SIGTERM)
    output = [run.stderr for run in ended if run.code == 128 + signal.SIGTERM]
    assert all("asked to end (SIGTERM)" in text for text in output)
    # before its first line nobody can ask a run anything
    assert {run.code for run in ended} <= {128 + signal.SIGTERM, -signal.SIGTERM}
    assert len(output) > len(ended) / 2
    assert life.wrong == []
