"""The permissions of nplconf, as a real API server reports them."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from area import Area

from nplconf.cluster.api.client import ApiCluster
from nplconf.errors import UnavailableError

pytestmark = pytest.mark.api
NEEDED = ["get nodes", "list pods", "list services", "patch pods/status", "create events"]


def rights(area: Area, kubeconfig: Path, *, events: bool = True) -> dict[str, bool]:
    cluster = ApiCluster(str(kubeconfig), lambda _message: None)
    with contextlib.closing(cluster):
        return {right.what: right.allowed for right in cluster.rights(area.node, events=events)}


def test_the_identity_of_the_examples_may_do_all_that_is_needed(area: Area) -> None:
    assert rights(area, area.kubeconfig()) == dict.fromkeys(NEEDED, True)
    assert list(rights(area, area.kubeconfig(), events=False)) == NEEDED[:-1]


def test_a_kubelets_identity_may_do_all_that_a_run_must(area: Area) -> None:
    certificate, key = area.plane.certificate(f"system:node:{area.node}", "system:nodes")
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    found = rights(area, area.plane.kubeconfig("kubelet", user))
    assert {what for what, allowed in found.items() if allowed} >= set(NEEDED[:-1])


def test_each_right_that_is_missing_is_named(area: Area) -> None:
    nobody = area.plane.kubeconfig("tenant", {"token": area.plane.tokens["tenant"]})
    assert rights(area, nobody) == dict.fromkeys(NEEDED, False)


def test_doctor_names_them_and_nothing_else_of_the_cluster(area: Area) -> None:
    nobody = area.plane.kubeconfig("tenant", {"token": area.plane.tokens["tenant"]})
    found = doctor(area, nobody)
    assert found["api-rights"]["status"] == "fail"
    assert "get nodes, list pods, list services, patch pods/status" in found["api-rights"]["message"]
    assert found["service-node-ports"]["message"].startswith("not checked")
    allowed = doctor(area, area.kubeconfig())
    assert allowed["api-rights"]["status"] == "ok", allowed


def doctor(area: Area, kubeconfig: Path) -> dict[str, dict[str, Any]]:
    argv = [sys.executable, "-m", "nplconf", "doctor", "-o", "json", "--no-hold"]
    argv += [f"--kubeconfig={kubeconfig}", f"--node={area.node}", "--state-dir=/nowhere"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_server_that_is_not_there_is_reported(area: Area) -> None:
    away = area.kubeconfig(server="https://127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        rights(area, away)
    assert "127.0.0.1:1" in doctor(area, away)["api-rights"]["message"]
