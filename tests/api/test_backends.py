"""`nplconf backends` with only the permissions of examples/kubernetes/reader.yaml."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import area as areas
import kube
import pytest
import worlds

pytestmark = pytest.mark.api
TOKEN = "/api/v1/namespaces/nplconf/serviceaccounts/nplconf-reader/token"
READY = [{"type": "Ready", "status": "True"}]


@pytest.fixture
def reader(plane: kube.ControlPlane, area: areas.Area) -> Path:
    """A kubeconfig of the reader."""
    token = plane.ok("POST", TOKEN, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    return plane.kubeconfig(f"reader-{area.number}", {"token": token})


def pod(area: areas.Area, name: str, number: int) -> None:
    """A ready Pod that is published."""
    area.pod(name)
    entries = [{"podPort": 8080, "nodeIP": "10.10.10.10", "nodePort": number, "protocol": "tcp", "ipFamily": "IPv4"}]
    area.annotate(name, json.dumps(entries))
    area.status(name, {"conditions": READY})


def argv(area: areas.Area, reader: Path, *arguments: str) -> list[str]:
    own = [f"{area.namespace}/web", "--kubeconfig", str(reader)]
    return [sys.executable, "-m", "nplconf", "backends", *own, *arguments]


def numbers(text: str) -> list[int]:
    services: list[dict[str, Any]] = json.loads(text)["services"]
    return [backend["nodePort"] for service in services for backend in service["backends"]]


def test_the_list_needs_no_other_right(area: areas.Area, reader: Path) -> None:
    area.service()
    pod(area, "web-0", 61001)
    done = subprocess.run(argv(area, reader), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert numbers(done.stdout) == [61001]


def test_the_reader_may_do_nothing_else(plane: kube.ControlPlane) -> None:
    user = "system:serviceaccount:nplconf:nplconf-reader"
    for verb, resource in (("list", "nodes"), ("patch", "pods"), ("get", "secrets"), ("create", "events")):
        review = {"spec": {"user": user, "resourceAttributes": {"verb": verb, "resource": resource}}}
        assert not plane.ok("POST", areas.REVIEWS, review)["status"]["allowed"], (verb, resource)


@contextlib.contextmanager
def following(area: areas.Area, reader: Path, out: Path) -> Iterator[None]:
    process = subprocess.Popen(argv(area, reader, "--out", str(out), "--follow", "--resync", "600"))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def eventually(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_readiness_deletion_and_withdrawal_are_followed(area: areas.Area, reader: Path, tmp_path: Path) -> None:
    area.service()
    pod(area, "web-0", 61001)
    out = tmp_path / "backends.json"
    with following(area, reader, out):
        eventually(lambda: out.exists() and numbers(out.read_text()) == [61001])
        pod(area, "web-1", 61002)
        eventually(lambda: numbers(out.read_text()) == [61001, 61002])
        area.status("web-1", {"conditions": [{"type": "Ready", "status": "False"}]})
        eventually(lambda: numbers(out.read_text()) == [61001])
        area.plane.ok("DELETE", f"{area._pods}/web-0", {"gracePeriodSeconds": 30})
        eventually(lambda: '"draining": true' in out.read_text())
        area.annotate("web-0", "[]")
        eventually(lambda: numbers(out.read_text()) == [])
        assert json.loads(out.read_text())["services"][0]["withdrawn"][0]["pod"]["name"] == "web-0"
        area.annotate("web", "yes", key=worlds.ENABLED, kind="services")
        eventually(lambda: [one["kind"] for one in json.loads(out.read_text())["lint"]] == ["enabled-not-true"])
