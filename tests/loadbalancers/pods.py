"""The kubelet's work: Pods with real processes, and their status on the API server."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import worlds

from loadbalancers.site import HERE, Machine, Site, connect_pod

GATE = "nplconf.io/published"
PORT = 8080
APPLICATION_START = 0.2
"""Seconds that an application takes from its start to its first answer, beside Python's."""
NOTICE = 0.2
"""Seconds until the kubelet notices that a container has ended."""
RESTART = 1.0


@dataclass(slots=True)
class Shape:
    """What all Pods of a story have. gate: the readiness gate; pre_stop: seconds."""

    gate: bool
    pre_stop: float = 5.0
    grace: int = 30


@dataclass(slots=True)
class Pod:
    """One Pod. ready, gone: what its kubelet has reported."""

    site: Site
    machine: Machine
    name: str
    shape: Shape
    ready: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    deleted: bool = False
    space: str = ""
    ip: str = ""
    process: "subprocess.Popen[bytes] | None" = None
    started: str = ""

    def stop(self) -> None:
        """End the process, without any report."""
        if self.process and self.process.stdout:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    # --- life

    def create(self) -> None:
        """Create the object, and start what its kubelet does in a thread."""
        raw = worlds.raw_pod(
            self.name, [], namespace=self.site.area.namespace, on=self.machine.name, labels={"app": "web"}
        )
        raw["spec"]["terminationGracePeriodSeconds"] = self.shape.grace
        if self.shape.gate:
            raw["spec"]["readinessGates"] = [{"conditionType": GATE}]
        raw["status"] = {"phase": "Pending"}
        self.site.area.create_pod(raw)
        threading.Thread(target=self._run, daemon=True).start()

    def delete(self) -> None:
        """Delete it as a controller does; its kubelet ends it in a thread."""
        self.deleted = True
        self.site.area.plane.ok("DELETE", self._path, {"gracePeriodSeconds": self.shape.grace})
        threading.Thread(target=self._end, daemon=True).start()

    def crash(self) -> None:
        """The process is killed; its kubelet notices and starts it again."""
        assert self.process
        self.stop()
        time.sleep(NOTICE)
        self.ready.clear()
        self._report(running=True, containers=False)
        time.sleep(RESTART)
        self._serve()
        self._become_ready()

    def _run(self) -> None:
        self.space, self.ip = connect_pod(self.site, self.machine)
        self._report(running=True, containers=False)  # the address is there before the application is
        self._serve()
        if not self.deleted:
            self._become_ready()

    def _serve(self) -> None:
        time.sleep(APPLICATION_START)
        argv = ["ip", "netns", "exec", self.space, sys.executable, "-S", "-E", str(HERE / "podserver.py")]
        self.process = subprocess.Popen([*argv, str(PORT), self.name], stdout=subprocess.PIPE)
        assert self.process.stdout
        self.process.stdout.readline()

    def _become_ready(self) -> None:
        self._report(running=True, containers=True)
        while self.shape.gate and not self.deleted and not self._has(GATE):
            time.sleep(0.03)
        if not self.deleted:
            self._report(running=True, containers=True, ready=True)
            self.ready.set()

    def _end(self) -> None:
        time.sleep(self.shape.pre_stop)
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.stop()
        with contextlib.suppress(AssertionError):  # it may be gone
            self._report(running=False, containers=False)
        self.site.area.delete(self.name)
        self.gone.set()

    # --- status

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.site.area.namespace}/pods/{self.name}"

    def _has(self, condition: str) -> bool:
        conditions = self.site.area.get(self.name)["status"].get("conditions") or []
        return any(c["type"] == condition and c["status"] == "True" for c in conditions)

    def _report(self, *, running: bool, containers: bool, ready: bool = False) -> None:
        """Write the status. Conditions of others stay, as a kubelet leaves them."""
        own = {"ContainersReady": containers, "Ready": ready, "PodScheduled": True, "Initialized": True}
        state: dict[str, Any] = {"running": {}} if running else {"terminated": {"exitCode": 0}}
        container = {"name": "c", "ready": containers, "restartCount": 0, "image": "i", "imageID": "", "state": state}
        while True:
            now = self.site.area.get(self.name)
            others = [c for c in now["status"].get("conditions") or [] if c["type"] not in own]
            conditions = others + [{"type": kind, "status": str(value)} for kind, value in own.items()]
            status = {
                "phase": "Running",
                "podIP": self.ip,
                "podIPs": [{"ip": self.ip}],
                "conditions": conditions,
                "containerStatuses": [container],
            }
            version = {"resourceVersion": now["metadata"]["resourceVersion"]}
            answer = self.site.area.plane.call("PATCH", f"{self._path}/status", {"metadata": version, "status": status})
            if answer.status != 409:
                assert answer.status < 300, answer.body
                return


@dataclass(slots=True)
class Deployment:
    """A controller's part: which Pods there are. machines: where new ones go, in turns."""

    site: Site
    shape: Shape
    machines: list[Machine]
    pods: list[Pod] = field(default_factory=list)
    _number: int = 0

    def add(self, count: int = 1) -> list[Pod]:
        """Create Pods, without waiting for them."""
        made = []
        for _ in range(count):
            machine = self.machines[self._number % len(self.machines)]
            made.append(Pod(self.site, machine, f"web-{self._number}", self.shape))
            self._number += 1
            made[-1].create()
        self.pods += made
        return made

    def remove(self, pod: Pod) -> None:
        pod.delete()
        self.pods.remove(pod)

    def update(self, surge: int, min_ready: float) -> None:
        """A rolling update with this maxSurge; without one, maxUnavailable is 1."""
        old = list(self.pods)
        for pod in old:
            if not surge:
                self.remove(pod)
            (new,) = self.add()
            wait(new.ready)
            time.sleep(min_ready)
            if surge:
                self.remove(pod)

    def drain(self, machine: Machine, min_ready: float) -> None:
        """Evict the Pods of a node one by one, as a PodDisruptionBudget with maxUnavailable 1 makes it."""
        self.machines = [m for m in self.machines if m is not machine]
        for pod in [p for p in self.pods if p.machine is machine]:
            self.remove(pod)
            (new,) = self.add()
            wait(new.ready)
            time.sleep(min_ready)


def wait(event: threading.Event, seconds: float = 60.0) -> None:
    assert event.wait(seconds)


Action = Callable[[Deployment], None]
